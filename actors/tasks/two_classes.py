"""Comparison of scores of the positive of two classes with known labels. Runs in the sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from actors.tasks.accuracy import is_labelled, labelled, true_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

NUM_BINS = 500
"""Number of score bins of equal width; a score of exactly 1 has an extra bin."""
DECISIONS = ("num_true_positive", "num_false_positive", "num_true_negative", "num_false_negative")


def count_two_classes(
    table: pa.Table, labels: Sequence[str] | None, *, positive: int = 1, threshold: float = 0.5
) -> dict[str, int]:
    """Counts labelled rows by decision, as ``binary/num_true_positive``, and by score bin of class ``positive``, as
    ``binary_positive/BIN`` and ``binary_negative/BIN``.

    The answer is positive if the score is above ``threshold``. A row whose lists lack the class has a score of 0; a row
    whose known label is not a class is negative.
    """
    if not is_labelled(table) or not len(rows := labelled(table)):
        return {}
    is_true = true_ids(rows, labels).to_numpy() == positive
    scores = _scores(rows, positive)
    is_chosen = scores > np.float32(threshold)
    cells = (is_true & is_chosen, ~is_true & is_chosen, ~is_true & ~is_chosen, is_true & ~is_chosen)
    counts = {f"binary/{name}": int(cell.sum()) for name, cell in zip(DECISIONS, cells, strict=True)}
    bounds = np.linspace(0, 1, NUM_BINS + 1, dtype=np.float32)
    bins = np.clip(np.searchsorted(bounds, scores, side="right") - 1, 0, NUM_BINS)
    for name, own in (("positive", bins[is_true]), ("negative", bins[~is_true])):
        found, numbers = np.unique(own, return_counts=True)
        counts |= {f"binary_{name}/{n}": number for n, number in zip(found.tolist(), numbers.tolist(), strict=True)}
    return counts


def _scores(rows: pa.Table, positive: int) -> np.ndarray:
    ids, values = (rows[name].combine_chunks() for name in ("top_label_ids", "top_scores"))
    is_own = pc.equal(ids.flatten(), positive)
    scores = np.zeros(len(rows), np.float32)
    scores[pc.list_parent_indices(ids).filter(is_own).to_numpy()] = values.flatten().filter(is_own).to_numpy()
    return scores
