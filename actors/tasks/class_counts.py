"""Counters for tasks that choose one of several classes. Runs in the sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from actors.tasks.accuracy import are_named, count_correct, is_labelled, labelled
from actors.tasks.calibration import count_calibration
from actors.tasks.confusion import count_classes, count_pairs
from actors.tasks.label_counts import count_labels
from actors.tasks.score_counts import count_scores
from actors.tasks.two_classes import count_two_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

TOP_K = 5
"""Number of best classes that may be correct in the second accuracy, as usual for ImageNet."""


def count_predicted(table: pa.Table, labels: Sequence[str] | None, *, top_k: int, has_several: bool) -> dict[str, int]:
    """Counts images by label and by best score, and answers with `count_answers`.

    Args:
        table: predicted rows. Returns no counts without predictions, as when the benchmark omits the model.
        labels: names of the classes in order.
        top_k: classes that the rows list.
        has_several: an image may have several labels: count all labels over the threshold, and compare with no known
            labels.
    """
    if "score" not in table.column_names:
        return {}
    counts = count_labels(table, chosen=has_several) | count_scores(table["score"])
    return counts if has_several else counts | count_answers(table, labels, top_k)


def count_answers(table: pa.Table, labels: Sequence[str] | None, top_k: int) -> dict[str, int]:
    """Counts correct answers, also among the best 5 classes, calibration, and predicted by known class; for a model
    with two classes, also the scores of the second class.

    Args:
        table: predicted rows. Returns no counts without targets or predictions.
        labels: class names in order. Without them, classes that have names are not counted individually.
        top_k: classes that the rows list, if the model has that many.
    """
    if not is_labelled(table):
        return {}
    counts = count_correct(table)
    if top_k >= TOP_K:
        counts |= count_correct(table, TOP_K)
    counts |= count_calibration(table)
    if labels is None and are_named(labelled(table)):
        return counts
    counts |= count_classes(table, labels) | count_pairs(table, labels)
    if top_k > 2 and _num_listed(table) == 2:  # noqa: PLR2004
        counts |= count_two_classes(table, labels)
    return counts


def _num_listed(table: pa.Table) -> int:
    return pc.max(pc.list_value_length(table["top_label_ids"])).as_py() or 0
