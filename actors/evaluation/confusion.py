"""Confusion of classes, and the per-class scores derived from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.evaluation.inferencer import CountingInferencer, ratio
from actors.tasks.confusion import BEYOND, CORRECT, PAIRS, PREDICTED, TRUE, count_classes, count_pairs, read_classes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

MAX_DENSE = 2000
"""Most classes for which `Confusion.matrix` builds an array; beyond that, only the pairs fit in memory."""


class ClassScores(NamedTuple):
    """Scores of one class; 0 if the denominator is 0."""

    class_id: int
    num_true: int
    num_predicted: int
    precision: float
    recall: float
    f1: float


class ClassAverages(CountingInferencer):
    """Averages over classes: ``precision_macro``, ``recall_macro``, ``f1_macro`` and ``f1_weighted``, like
    torchmetrics' multiclass metrics. Classes that neither occur nor are predicted do not count.

    Args:
        labels: class names in order; required if the model has any.
        max_classes: ignores classes from this number on; if any occur, no average is returned.
    """

    def __init__(self, labels: Sequence[str] | None = None, *, max_classes: int | None = None) -> None:
        super().__init__()
        self.labels, self.max_classes = labels, max_classes

    def count(self, rows: pa.Table) -> dict[str, int]:
        return count_classes(rows, self.labels, max_classes=self.max_classes)

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        classes = self.classes(counts)
        if not classes or counts.get(BEYOND):
            return {}
        num_true = sum(own.num_true for own in classes)
        weighted = ratio(sum(own.f1 * own.num_true for own in classes), num_true)
        macro = {f"{name}_macro": sum(getattr(own, name) for own in classes) / len(classes) for name in _SCORES}
        return {**macro, "f1_weighted": weighted}

    def classes(self, counts: Mapping[str, int]) -> list[ClassScores]:
        """Returns the scores of the classes that occur or are predicted, in order of class number."""
        true, predicted, correct = (read_classes(counts, name) for name in (TRUE, PREDICTED, CORRECT))
        return [
            _scores(own, correct.get(own, 0), true.get(own, 0), predicted.get(own, 0))
            for own in sorted({*true, *predicted})
        ]


class ConfusionMatrix(CountingInferencer):
    """Images by known and predicted class, like torchmetrics' `MulticlassConfusionMatrix`. Computes the scores of
    `ClassAverages`.

    Args:
        labels: see `ClassAverages`.
        max_classes: omits pairs with a class from this number on.
    """

    def __init__(self, labels: Sequence[str] | None = None, *, max_classes: int | None = None) -> None:
        super().__init__()
        self.labels, self.max_classes = labels, max_classes

    def count(self, rows: pa.Table) -> dict[str, int]:
        return count_pairs(rows, self.labels, max_classes=self.max_classes)

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        totals: dict[str, int] = {}
        for (true, predicted), number in self.pairs(counts).items():
            names = [f"{PREDICTED}{predicted}"] + ([f"{TRUE}{true}"] if true >= 0 else [])
            for name in [*names, f"{CORRECT}{true}"] if true == predicted else names:
                totals[name] = totals.get(name, 0) + number
        return ClassAverages().compute(totals)

    def pairs(self, counts: Mapping[str, int]) -> dict[tuple[int, int], int]:
        """Returns the nonzero counts by known and predicted class; -1 is a known label that is not a class."""
        found = (
            (key.removeprefix(PAIRS).split("/"), number) for key, number in counts.items() if key.startswith(PAIRS)
        )
        return {(int(true), int(predicted)): number for (true, predicted), number in found if number}

    def matrix(self, counts: Mapping[str, int], num_classes: int) -> np.ndarray:
        """Returns int64 (known class, predicted class), without labels that are not classes. Raises ValueError above
        `MAX_DENSE` classes.
        """
        if num_classes > MAX_DENSE:
            raise ValueError(f"{num_classes:,} classes make no dense matrix: `pairs` has the same numbers")
        matrix = np.zeros((num_classes, num_classes), np.int64)
        for (true, predicted), number in self.pairs(counts).items():
            if true >= 0:
                matrix[true, predicted] = number
        return matrix


_SCORES = ("precision", "recall", "f1")


def _scores(class_id: int, num_correct: int, num_true: int, num_predicted: int) -> ClassScores:
    precision, recall = ratio(num_correct, num_predicted), ratio(num_correct, num_true)
    f1 = ratio(2 * num_correct, num_true + num_predicted)
    return ClassScores(class_id, num_true, num_predicted, precision, recall, f1)
