"""Predictions counted against known labels: the summary of tasks that choose one class. Runs in the sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from actors.columns import TARGET

if TYPE_CHECKING:
    import pyarrow as pa

NUM_LABELLED = "accuracy/num_labelled"
NUM_CORRECT = "accuracy/num_correct"


def count_correct(table: pa.Table) -> dict[str, int]:
    """Counts the rows with a known label and a prediction, and how many of them agree.

    A known label may be the name of the class, in any normal form of Unicode, or its number.

    Args:
        table: predicted rows. Counts nothing without targets, or without predictions, as when the benchmark omits the
            model.
    """
    if not {TARGET, "label", "label_id"} <= set(table.column_names):
        return {}
    target, label, label_id = table[TARGET], table["label"], table["label_id"].cast("string")
    known = pc.and_(pc.is_valid(target), pc.is_valid(label))
    # macOS writes accents in names of folders decomposed (NFD).
    target, label = (pc.utf8_normalize(names, "NFC") for names in (target, label))
    right = pc.and_(known, pc.or_(pc.equal(target, label), pc.equal(target, label_id)))
    return {NUM_LABELLED: int(pc.sum(known).as_py() or 0), NUM_CORRECT: int(pc.sum(right).as_py() or 0)}
