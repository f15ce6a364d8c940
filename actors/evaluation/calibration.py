"""Gap between confidence and accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.evaluation.inferencer import CountingInferencer
from actors.tasks.calibration import NUM_BINS, OUTSIDE, calibration_name, count_calibration
from actors.tasks.fixed_point import SHARE_BITS, from_units

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


class Calibration(CountingInferencer):
    """Expected calibration error ``ece`` over ``num_bins`` bins of the best score, like torchmetrics'
    `MulticlassCalibrationError` with ``norm="l1"``. See Guo et al., On Calibration of Modern Neural Networks, 2017.
    Undefined if a score is not a probability.
    """

    def __init__(self, num_bins: int = NUM_BINS) -> None:
        super().__init__()
        self.num_bins = num_bins

    def count(self, rows: pa.Table) -> dict[str, int]:
        return count_calibration(rows, self.num_bins)

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        bins = self.bins(counts)
        total = sum(number for number, _, _ in bins)
        gaps = (number * abs(accuracy - confidence) for number, accuracy, confidence in bins)
        return {"ece": sum(gaps) / total} if total and not counts.get(OUTSIDE) else {}

    def bins(self, counts: Mapping[str, int]) -> list[tuple[int, float, float]]:
        """Returns images, accuracy and mean score per bin, in ascending order; the last bin holds scores of 1."""
        found = []
        for number in range(self.num_bins + 1):
            num, right, units = (
                counts.get(calibration_name(number, name), 0) for name in ("num", "num_correct", "score_units")
            )
            found.append((num, right / max(1, num), from_units(units, SHARE_BITS) / max(1, num)))
        return found
