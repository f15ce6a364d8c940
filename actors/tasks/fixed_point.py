"""Sums of fractions as integers: exact and independent of order, so that receipts may carry them as counters."""

from __future__ import annotations

import numpy as np

SHARE_BITS = 32
"""Fractions from 0 to 1 are counted in units of 2**-32: two billion of them fit into 63 bits."""
NUMBER_BITS = 64
"""Numbers of any size are counted in units of 2**-64, without a limit on the sum: JSON has no limit."""


def to_units(values: np.ndarray, bits: int) -> int:
    """Returns the sum of finite, non-negative ``values``, each rounded to the unit 2**-``bits``."""
    # Python's integers: 64 bits cannot hold a sum of squares.
    return sum(map(int, np.rint(np.ldexp(values.astype(np.float64), bits)).tolist()))


def from_units(units: int, bits: int) -> float:
    return units / (1 << bits)
