from __future__ import annotations

import numpy as np

from actors.tasks.fixed_point import from_units, to_units


def test_sums_are_exact_in_any_order() -> None:
    values = np.random.default_rng(0).random(10_000).astype(np.float32)
    units = to_units(values)
    assert units == to_units(values[::-1]) == to_units(values[:7]) + to_units(values[7:])
    assert abs(from_units(units) - values.astype(np.float64).sum()) < 1e-9
    assert (to_units(np.array([])), from_units(to_units(np.array([1e30])))) == (0, 1e30)
