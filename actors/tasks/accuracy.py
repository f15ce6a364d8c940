"""Comparison of predictions with known labels: the summary of tasks that choose one class. Runs in the sink."""

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
    """Returns the names of the counters of labelled images, and of those with the known label in the ``top_k`` best."""
    end = "" if top_k == 1 else f"_top{top_k}"
    return f"{NUM_LABELLED}{end}", f"{NUM_CORRECT}{end}"


def count_correct(table: pa.Table, top_k: int = 1) -> dict[str, int]:
    """Counts the rows with a known label and a prediction, and the rows in which they agree.

    A known label may be the class name, in any Unicode normalisation form, or the class number.

    Args:
        table: predicted rows. Returns no counts without targets, or without predictions, as when the benchmark omits
            the model.
        top_k: number of best classes that may be correct. If an image lists fewer, all of them count.
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
    """Returns the rows with a known label and a prediction, from a table that `is_labelled`."""
    return table.filter(pc.and_(pc.is_valid(table[TARGET]), pc.is_valid(table["label"])))


def correct(table: pa.Table) -> pa.ChunkedArray:
    """Returns for each row whether the best class is the known label; null if either is unknown."""
    return _matches(table[TARGET], table["label"], table["label_id"])


def are_named(rows: pa.Table) -> bool:
    """Returns True if the classes in `labelled` rows have names; without names, a label is the class number."""
    return not pc.all(pc.equal(rows["label"], rows["label_id"].cast(pa.string()))).as_py()


def true_ids(rows: pa.Table, labels: Sequence[str] | None) -> pa.Array:
    """Returns the class numbers of the known labels of `labelled` rows, int32; -1 for a label that is not a class.

    Args:
        rows: rows that are `labelled`.
        labels: class names in order; None if there are none.

    Raises:
        ValueError: classes have names, and ``labels`` is None: the meaning of a label would depend on the other rows.
    """
    target = _nfc(rows[TARGET])
    number = pc.if_else(pc.match_substring_regex(target, _NUMBER), target, None).cast(pa.int32())
    if labels is not None:
        number = pc.if_else(pc.less(number, len(labels)), number, None)
        number = pc.coalesce(pc.index_in(target, value_set=_nfc(pa.array(labels, pa.string()))), number)
    elif are_named(rows):
        raise ValueError("labels: needed, since the classes have names: give them in the order of the classes")
    return pc.fill_null(pc.if_else(correct(rows), rows["label_id"], number), -1).cast(pa.int32())


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
    # macOS decomposes accents in folder names (NFD).
    return pc.utf8_normalize(names, "NFC")
