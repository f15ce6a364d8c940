"""Scores of the best class counted against known labels: how far confidence and accuracy differ. Runs in the sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.tasks.accuracy import correct, is_labelled, labelled
from actors.tasks.fixed_point import to_units

if TYPE_CHECKING:
    import pyarrow as pa

NUM_BINS = 15


def calibration_name(number: int, measure: str) -> str:
    """Name of a counter of bin ``number``: ``num``, ``num_correct``, or ``score_units``, the sum of the scores in units
    of `actors.tasks.fixed_point`.
    """
    return f"calibration/{number:02d}/{measure}"


def count_calibration(table: pa.Table, num_bins: int = NUM_BINS) -> dict[str, int]:
    """Counts labelled rows, right ones and their scores by bin of the score.

    Bins are of equal width and hold their lower bound; a score of exactly 1 has one bin more to itself, as in
    torchmetrics' `MulticlassCalibrationError`.
    """
    if not is_labelled(table) or "score" not in table.column_names:
        return {}
    rows = labelled(table)
    scores = rows["score"].to_numpy()
    right = correct(rows).to_numpy(zero_copy_only=False).astype(bool)
    bounds = np.linspace(0, 1, num_bins + 1, dtype=np.float32)
    bins = np.clip(np.searchsorted(bounds, scores, side="right") - 1, 0, num_bins)
    counts = {}
    for number in np.unique(bins).tolist():
        own = bins == number
        counts[calibration_name(number, "num")] = int(own.sum())
        counts[calibration_name(number, "num_correct")] = int(right[own].sum())
        counts[calibration_name(number, "score_units")] = to_units(np.clip(scores[own], 0, None))
    return counts
