"""Predictions counted against known labels: the summary of tasks that choose one class. Runs in the sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import TARGET

if TYPE_CHECKING:
    from collections.abc import Sequence

NUM_LABELLED = "accuracy/num_labelled"
NUM_CORRECT = "accuracy/num_correct"


def accuracy_names(top_k: int) -> tuple[str, str]:
    """Names of the counters of labelled images, and of those whose known label is among the ``top_k`` best classes."""
    end = "" if top_k == 1 else f"_top{top_k}"
    return f"{NUM_LABELLED}{end}", f"{NUM_CORRECT}{end}"


def count_correct(table: pa.Table, top_k: int = 1) -> dict[str, int]:
    """Counts the rows with a known label and a prediction, and how many of them agree.

    A known label may be the name of the class, in any normal form of Unicode, or its number.

    Args:
        table: predicted rows. Counts nothing without targets, or without predictions, as when the benchmark omits the
            model.
        top_k: classes that may be right; those of an image that has fewer in its lists all count.
    """
    if not is_labelled(table):
        return {}
    rows = labelled(table)
    num_right = int(pc.sum(correct(rows)).as_py() or 0) if top_k == 1 else _num_correct_among(rows, top_k)
    return dict(zip(accuracy_names(top_k), (len(rows), num_right), strict=True))


def is_labelled(table: pa.Table) -> bool:
    """Returns True if the rows have the columns of known labels and of predictions."""
    return {TARGET, "label", "label_id"} <= set(table.column_names)


def labelled(table: pa.Table) -> pa.Table:
    """The rows with a known label and a prediction, of a table that `is_labelled`."""
    return table.filter(pc.and_(pc.is_valid(table[TARGET]), pc.is_valid(table["label"])))


def correct(table: pa.Table) -> pa.ChunkedArray:
    """Tells for each row if the best class is the known label; null where one of them is unknown."""
    return _matches(table[TARGET], table["label"], table["label_id"])


def true_ids(table: pa.Table, labels: Sequence[str] | None) -> pa.Array:
    """Numbers of the classes that the known labels of `labelled` rows mean, int32; -1 for one that is no class.

    Args:
        table: rows without nulls in these columns.
        labels: names of the classes in order; without them, those that the rows themselves name.
    """
    names = _names(table) if labels is None else pa.table({"id": range(len(labels)), "name": pa.array(labels)})
    target = _nfc(table[TARGET])
    place = pc.index_in(target, value_set=_nfc(names["name"]).combine_chunks())
    by_name = names["id"].cast(pa.int32()).combine_chunks().take(place.combine_chunks())
    digits = pc.if_else(pc.match_substring_regex(target, _NUMBER), target, None).cast(pa.int32())
    if labels is not None:
        digits = pc.if_else(pc.less(digits, len(labels)), digits, None)
    found = pc.if_else(correct(table), table["label_id"], pc.coalesce(by_name, digits))
    return pc.fill_null(found, -1).cast(pa.int32())


_NUMBER = "^[0-9]{1,9}$"


def _num_correct_among(rows: pa.Table, top_k: int) -> int:
    ids, names = (pc.list_slice(rows[name].combine_chunks(), 0, top_k) for name in ("top_label_ids", "top_labels"))
    images = pc.list_parent_indices(ids)
    target = rows[TARGET].combine_chunks().take(images)
    return len(pc.unique(images.filter(_matches(target, names.flatten(), ids.flatten()))))


def _matches(target: pa.ChunkedArray, label: pa.ChunkedArray, label_id: pa.ChunkedArray) -> pa.ChunkedArray:
    target = _nfc(target)
    return pc.or_(pc.equal(target, _nfc(label)), pc.equal(target, label_id.cast(pa.string())))


def _nfc(names: pa.ChunkedArray) -> pa.ChunkedArray:
    # macOS writes accents in names of folders decomposed (NFD).
    return pc.utf8_normalize(names, "NFC")


def _names(table: pa.Table) -> pa.Table:
    seen = pa.table({"id": table["label_id"], "name": table["label"]})
    if {"top_label_ids", "top_labels"} <= set(table.column_names):
        lists = (pc.list_flatten(table[name]) for name in ("top_label_ids", "top_labels"))
        seen = pa.concat_tables([seen, pa.table(dict(zip(("id", "name"), lists, strict=True)))])
    return seen.group_by(["id", "name"]).aggregate([])
