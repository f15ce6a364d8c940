"""Sums of fractions as whole numbers: exact, and equal in any order, so that receipts may carry them as counters."""

from __future__ import annotations

import numpy as np

BITS = 64
"""A counter of fractions counts units of 2**-64, below the rounding of the float32 values that are summed."""


def to_units(values: np.ndarray) -> int:
    """The sum of finite ``values`` from 0 up, each rounded to the unit."""
    # Python's integers: 64 bits hold no sum of squares.
    return sum(map(int, np.rint(np.ldexp(values.astype(np.float64), BITS)).tolist()))


def from_units(units: int) -> float:
    return units / (1 << BITS)
