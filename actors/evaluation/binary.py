"""Scores for two classes, one of them positive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.evaluation.inferencer import CountingInferencer, ratio
from actors.tasks.two_classes import DECISIONS, NUM_BINS, count_two_classes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa


class BinaryClassification(CountingInferencer):
    """``precision``, ``recall`` and ``f1`` at ``threshold``, 0 where the denominator is 0, and ``auroc``, like
    torchmetrics' binary metrics with 501 thresholds. ``auroc`` needs images of both classes. Scores in the same bin
    count as ties.

    Args:
        positive: number of the positive class.
        threshold: threshold on the score of the positive class.
        labels: class names in order; required if the model has any.
    """

    def __init__(self, positive: int = 1, *, threshold: float = 0.5, labels: Sequence[str] | None = None) -> None:
        super().__init__()
        self.positive, self.threshold, self.labels = positive, threshold, labels

    def count(self, rows: pa.Table) -> dict[str, int]:
        return count_two_classes(rows, self.labels, positive=self.positive, threshold=self.threshold)

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        right, wrong, others, missed = (counts.get(f"binary/{name}", 0) for name in DECISIONS)
        if not right + wrong + others + missed:
            return {}
        scores = {
            "precision": ratio(right, right + wrong),
            "recall": ratio(right, right + missed),
            "f1": ratio(2 * right, 2 * right + wrong + missed),
        }
        positive, negative = (_falling(counts, name) for name in ("positive", "negative"))
        if positive[-1] and negative[-1]:
            scores["auroc"] = float(np.trapezoid(positive / positive[-1], negative / negative[-1]))
        return scores


def _falling(counts: Mapping[str, int], name: str) -> np.ndarray:
    """Returns the number of a class's images that score at least each bin, highest bin first, after a leading 0."""
    numbers = [counts.get(f"binary_{name}/{number}", 0) for number in range(NUM_BINS, -1, -1)]
    return np.cumsum([0, *numbers])
