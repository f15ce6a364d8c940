from __future__ import annotations

import numpy as np

from actors.tasks.fixed_point import NUMBER_BITS, SHARE_BITS, from_units, to_units


def test_sums_are_exact_in_any_order() -> None:
    values = np.random.default_rng(0).random(10_000).astype(np.float32)
    for bits in (SHARE_BITS, NUMBER_BITS):
        units = to_units(values, bits)
        assert units == to_units(values[::-1], bits) == to_units(values[:7], bits) + to_units(values[7:], bits)
        assert abs(from_units(units, bits) - values.astype(np.float64).sum()) < 1e-7
    assert to_units(np.array([]), NUMBER_BITS) == 0
    assert from_units(to_units(np.array([1e30]), NUMBER_BITS), NUMBER_BITS) == 1e30


def test_two_billion_shares_fit_into_63_bits() -> None:
    assert to_units(np.ones(1), SHARE_BITS) * 2_000_000_000 < 2**63
