"""Orders of predicted rows by interest: best and worst scores, ties, mistakes, samples of classes. Made in the sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import TARGET
from actors.tasks.accuracy import are_named, is_labelled, labelled, true_ids
from actors.writing.picks import Ranking

if TYPE_CHECKING:
    from collections.abc import Sequence


def rank_answers(table: pa.Table, labels: Sequence[str] | None, *, is_single: bool = True) -> list[Ranking]:
    """Ranks rows with class scores: by the best score, by its lead over the second, and a sample of each class; with
    known labels, also mistakes, and a sample of each pair of known and predicted class.

    Args:
        table: predicted rows; without predictions, as when the benchmark omits the model, they are only sampled.
        labels: names of the classes in order.
        is_single: exactly one class is correct. Otherwise there are no ties and no mistakes.
    """
    if not {"label_id", "score"} <= set(table.column_names):
        return [Ranking("sample")]
    score = table["score"].to_numpy()
    rankings = [
        Ranking("class", names=_text(table["label_id"])),
        Ranking("most_confident", -score),
        Ranking("least_confident", score),
    ]
    return [*rankings, *_ties(table), *_graded(table, labels)] if is_single else rankings


def rank_objects(table: pa.Table) -> list[Ranking]:
    """Ranks rows with detections, best first: by the best score, a sample of each class with the best score, and a
    sample of images without detections.
    """
    if "detections" not in table.column_names:
        return [Ranking("sample")]
    found = table["detections"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(found), 0).to_numpy(zero_copy_only=False)
    is_found = lengths > 0
    # The first item of each list, from the flat values: `pc.list_element` fails if a list is empty.
    firsts = (np.cumsum(lengths) - lengths)[is_found]
    objects = found.flatten()
    score = np.full(len(table), np.nan)
    score[is_found] = pc.struct_field(objects, "score").to_numpy(zero_copy_only=False)[firsts]
    label_ids = np.zeros(len(table), np.int32)
    label_ids[is_found] = pc.struct_field(objects, "label_id").to_numpy(zero_copy_only=False)[firsts]
    return [
        Ranking("class", names=_text(pa.array(label_ids, mask=~is_found))),
        Ranking("most_confident", -score),
        Ranking("least_confident", score),
        Ranking("nothing_found", np.where(is_found, np.nan, 0.0)),
    ]


def _ties(table: pa.Table) -> list[Ranking]:
    """Ranks by the lead of the best class over the second, unless a row lists only one."""
    scores = table["top_scores"].combine_chunks()
    if (pc.min(pc.list_value_length(scores)).as_py() or 0) < 2:  # noqa: PLR2004
        return []
    first, second = (pc.list_element(scores, place).to_numpy(zero_copy_only=False) for place in (0, 1))
    return [Ranking("near_ties", first.astype(np.float64) - second)]


def _graded(table: pa.Table, labels: Sequence[str] | None) -> list[Ranking]:
    """Ranks mistakes and ``cell/TRUE/PREDICTED`` of rows with known labels; TRUE is -1 for an unknown class."""
    true = _true(table, labels)
    if true is None:
        return []
    predicted = table["label_id"].combine_chunks()
    is_wrong = pc.fill_null(pc.not_equal(true, predicted), False).to_numpy(zero_copy_only=False)
    wrong = np.where(is_wrong, -table["score"].to_numpy(), np.nan)
    return [
        Ranking("mistakes", wrong),
        Ranking("cell", names=pc.binary_join_element_wise(_text(true), _text(predicted), "/")),
    ]


def _true(table: pa.Table, labels: Sequence[str] | None) -> pa.Array | None:
    """Returns the known class numbers, null if unknown; None if none is known, or the meaning of labels is unknown."""
    if not is_labelled(table):
        return None
    rows = labelled(table)
    if not len(rows) or (labels is None and are_named(rows)):
        return None
    true = np.zeros(len(table), np.int32)
    is_known = pc.is_valid(table[TARGET]).to_numpy()
    true[is_known] = true_ids(rows, labels).to_numpy()
    return pa.array(true, mask=~is_known)


def _text(numbers: pa.Array | pa.ChunkedArray) -> pa.Array:
    whole = numbers.combine_chunks() if isinstance(numbers, pa.ChunkedArray) else numbers
    return whole.cast(pa.string())
