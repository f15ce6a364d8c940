"""Differences between predicted and known numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from actors.evaluation.inferencer import CountingInferencer
from actors.tasks.fixed_point import NUMBER_BITS, from_units
from actors.tasks.residuals import MEASURES, count_residuals

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


class RegressionError(CountingInferencer):
    """``mse``, ``rmse``, ``mae`` and ``r2`` of the numbers in ``column``, like torchmetrics' `MeanSquaredError`,
    `MeanAbsoluteError` and `R2Score`; the last needs known numbers that differ.

    Args:
        column: column of predicted numbers; the column ``target`` contains the known ones as text.
        prefix: prepended to the names with an underscore, if a model returns several columns.
    """

    def __init__(self, column: str, prefix: str = "") -> None:
        super().__init__()
        self.column, self.prefix = column, f"{prefix}_" if prefix else ""

    def count(self, rows: pa.Table) -> Mapping[str, int]:
        return count_residuals(rows, self.column)

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        num, absolute, square, above, below, known = (
            counts.get(f"residuals/{self.column}/{name}", 0) for name in MEASURES
        )
        if not num:
            return {}
        mse = from_units(square, NUMBER_BITS) / num
        scores = {"mse": mse, "rmse": math.sqrt(mse), "mae": from_units(absolute, NUMBER_BITS) / num}
        # In integers, since a large mean would hide the spread around it.
        spread = (num * known << NUMBER_BITS) - (above - below) ** 2
        if spread > _ROUNDING * (num * known << NUMBER_BITS):
            scores["r2"] = 1 - (square * num << NUMBER_BITS) / spread
        return {self.prefix + name: score for name, score in scores.items()}


_ROUNDING = 1e-15  # known numbers that differ by less are equal
