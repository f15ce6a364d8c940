"""Means of numbers that a model gives for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.evaluation.inferencer import CountingInferencer
from actors.tasks.fixed_point import from_units, to_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa


class ScalarStats(CountingInferencer):
    """The mean of each named column over images, under its name; values that are null or not finite are left out.
    Unlike tensorpack's, a mean of images and not of batches.

    Args:
        names: columns of numbers.
        prefix: put before the names, with an underscore.
    """

    def __init__(self, names: Sequence[str], prefix: str = "") -> None:
        super().__init__()
        self.names, self.prefix = names, f"{prefix}_" if prefix else ""

    def count(self, rows: pa.Table) -> dict[str, int]:
        counts = {}
        for name in self.names:
            values = rows[name].drop_null().to_numpy().astype(np.float64)
            values = values[np.isfinite(values)]
            counts[f"scalar/{name}/num"] = len(values)
            counts[f"scalar/{name}/above_units"] = to_units(values[values > 0])
            counts[f"scalar/{name}/below_units"] = to_units(-values[values < 0])
        return counts

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        means = {}
        for name in self.names:
            num, above, below = (counts.get(f"scalar/{name}/{key}", 0) for key in ("num", "above_units", "below_units"))
            if num:
                means[self.prefix + name] = from_units(above - below) / num
        return means
