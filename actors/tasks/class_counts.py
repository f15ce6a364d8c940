"""Counters of the tasks that choose one of several classes. Runs in the sink."""

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
"""Classes that may be right in the second accuracy, as users of ImageNet expect."""


def count_predicted(table: pa.Table, labels: Sequence[str] | None, *, top_k: int, has_several: bool) -> dict[str, int]:
    """Counts images by label and by best score, and answers by `count_answers`.

    Args:
        table: predicted rows. Counts nothing without predictions, as when the benchmark omits the model.
        labels: names of the classes in order.
        top_k: classes that the rows list.
        has_several: an image may have several labels: counts all over the threshold, and compares with none.
    """
    if "score" not in table.column_names:
        return {}
    counts = count_labels(table, chosen=has_several) | count_scores(table["score"])
    return counts if has_several else counts | count_answers(table, labels, top_k)


def count_answers(table: pa.Table, labels: Sequence[str] | None, top_k: int) -> dict[str, int]:
    """Counts right answers, among the best 5 classes too, calibration, and classes against known labels; of a model of
    two classes also the scores of the second.

    Args:
        table: predicted rows. Counts nothing without targets or predictions.
        labels: names of the classes in order. Without them, classes that have names are not counted one by one.
        top_k: classes that the rows list, if the model has as many.
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
