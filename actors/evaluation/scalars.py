"""Means of numbers that a model returns for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.evaluation.inferencer import CountingInferencer
from actors.tasks.fixed_point import NUMBER_BITS, from_units, to_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa


class ScalarStats(CountingInferencer):
    """Mean of each named column over images, under its name; omits values that are null or not finite. Unlike
    tensorpack, averages over images, not batches.

    Args:
        names: columns of numbers.
        prefix: prepended to the names with an underscore.
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
            counts[f"scalar/{name}/above_units"] = to_units(values[values > 0], NUMBER_BITS)
            counts[f"scalar/{name}/below_units"] = to_units(-values[values < 0], NUMBER_BITS)
        return counts

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        means = {}
        for name in self.names:
            num, above, below = (counts.get(f"scalar/{name}/{key}", 0) for key in ("num", "above_units", "below_units"))
            if num:
                means[self.prefix + name] = from_units(above - below, NUMBER_BITS) / num
        return means
