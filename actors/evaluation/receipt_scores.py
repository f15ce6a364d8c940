"""Scores from the counters that tasks store in receipts. Used by reports and by `python -m jobs.evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.evaluation.accuracy import Accuracy
from actors.evaluation.binary import BinaryClassification
from actors.evaluation.calibration import Calibration
from actors.evaluation.confusion import ClassAverages
from actors.evaluation.regression import RegressionError
from actors.tasks.accuracy import NUM_LABELLED
from actors.tasks.class_counts import TOP_K
from actors.tasks.confusion import PREDICTED

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASS_SCORES = (
    "accuracy", "top1", "top1_err", "accuracy_top5", "top5", "top5_err",
    "ece", "precision_macro", "recall_macro", "f1_macro", "f1_weighted",
    "precision", "recall", "f1", "auroc",
)  # fmt: skip
"""Score names of tasks that choose one class; the last four apply only to two classes."""
NUMBER_SCORES = ("mse", "rmse", "mae", "r2")
"""Score names for numbers."""


def receipt_scores(counters: Mapping[str, int]) -> dict[str, float]:
    """Returns a run's scores by name, as the inferencers compute them, from the summed counters of its receipts.

    Omits a measure that covers only some of the labelled images, such as in a run begun by an earlier version of this
    program.
    """
    num_labelled = counters.get(NUM_LABELLED, 0)
    scores = Accuracy().compute(counters)
    if counters.get(f"{NUM_LABELLED}_top{TOP_K}") == num_labelled:
        scores |= Accuracy(TOP_K).compute(counters)
    if _total(counters, "calibration/", "/num") == num_labelled:
        scores |= Calibration().compute(counters)
    if _total(counters, PREDICTED) == num_labelled:
        scores |= ClassAverages().compute(counters)
    if _total(counters, "binary/") == num_labelled:
        scores |= BinaryClassification().compute(counters)
    for column in {name.split("/")[1] for name in counters if name.startswith("residuals/")}:
        scores |= RegressionError(column).compute(counters)
    return scores


def _total(counters: Mapping[str, int], start: str, end: str = "") -> int:
    return sum(number for name, number in counters.items() if name.startswith(start) and name.endswith(end))
