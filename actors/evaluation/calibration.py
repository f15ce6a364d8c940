"""Distance between confidence and accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.evaluation.inferencer import CountingInferencer
from actors.tasks.calibration import NUM_BINS, OUTSIDE, calibration_name, count_calibration
from actors.tasks.fixed_point import from_units

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


class Calibration(CountingInferencer):
    """The expected calibration error ``ece``, over ``num_bins`` bins of the best score: torchmetrics'
    `MulticlassCalibrationError` with ``norm="l1"``. See Guo et al., On Calibration of Modern Neural Networks, 2017.
    None where a score is no probability.
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
        """Images, accuracy and mean score of each bin, from low scores to high; the last is that of scores of 1."""
        found = []
        for number in range(self.num_bins + 1):
            num, right, units = (
                counts.get(calibration_name(number, name), 0) for name in ("num", "num_correct", "score_units")
            )
            found.append((num, right / max(1, num), from_units(units) / max(1, num)))
        return found
