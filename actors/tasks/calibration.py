"""Comparison of best-class scores with known labels: confidence against accuracy. Runs in the sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from actors.tasks.accuracy import correct, is_labelled, labelled
from actors.tasks.fixed_point import SHARE_BITS, to_units

if TYPE_CHECKING:
    import pyarrow as pa

NUM_BINS = 15


def calibration_name(number: int, measure: str) -> str:
    """Returns the name of a counter for bin ``number``: ``num``, ``num_correct``, or ``score_units``, the sum of the
    scores in units of 2**-32.
    """
    return f"calibration/{number:02d}/{measure}"


OUTSIDE = "calibration_outside/num"


def count_calibration(table: pa.Table, num_bins: int = NUM_BINS) -> dict[str, int]:
    """Counts labelled rows, correct rows and their scores by score bin.

    Bins have equal width and include their lower bound; a score of exactly 1 has an extra bin, as in torchmetrics'
    `MulticlassCalibrationError`. Scores below 0 or above 1 are not probabilities, and count as `OUTSIDE`.
    """
    if not is_labelled(table) or "score" not in table.column_names:
        return {}
    rows = labelled(table)
    is_inside = pc.and_(pc.greater_equal(rows["score"], 0.0), pc.less_equal(rows["score"], 1.0))
    num_outside, rows = len(rows) - int(pc.sum(is_inside).as_py() or 0), rows.filter(is_inside)
    scores = rows["score"].to_numpy()
    right = correct(rows).to_numpy(zero_copy_only=False).astype(bool)
    bounds = np.linspace(0, 1, num_bins + 1, dtype=np.float32)
    bins = np.searchsorted(bounds, scores, side="right") - 1
    counts = {OUTSIDE: num_outside}
    for number in np.unique(bins).tolist():
        own = bins == number
        counts[calibration_name(number, "num")] = int(own.sum())
        counts[calibration_name(number, "num_correct")] = int(right[own].sum())
        counts[calibration_name(number, "score_units")] = to_units(scores[own], SHARE_BITS)
    return counts
