from __future__ import annotations

import tempfile

import numpy as np
import pyarrow as pa
import pytest

from jobs.comparison.classes import ClassAnswers
from jobs.comparison.distributions import Distribution, distribution
from jobs.comparison.outcomes import Outcomes


def found(a: list[float], b: list[float]) -> Distribution | None:
    with tempfile.TemporaryDirectory() as folder, Outcomes(folder, 1 << 27, ClassAnswers()) as outcomes:
        for name, values in (("va", a), ("vb", b)):
            outcomes._create(name, pa.table({"x": pa.array(values, pa.float64())}))
        return distribution(outcomes, "x", "SELECT x FROM va", "SELECT x FROM vb")


def test_the_drift_is_the_distance_of_kolmogorov_and_smirnov_and_psi_as_defined() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.normal(0, 1, 2000), draw.normal(0.5, 2, 3000)
    one = found(a.tolist(), b.tolist())
    assert one is not None
    assert (one.low, one.high) == (min(a.min(), b.min()), max(a.max(), b.max()))
    grid = np.linspace(one.low, one.high, 1001)[1:, None]
    assert one.drift == pytest.approx(np.abs((a < grid).mean(1) - (b < grid).mean(1)).max(), abs=1e-3)
    shares = [np.histogram(own, 20, (one.low, one.high))[0] / len(own) for own in (a, b)]
    p, q = (np.maximum(own, 1e-4) for own in shares)
    assert one.stability_index == pytest.approx(((q - p) * np.log(q / p)).sum())
    assert (sum(one.a), sum(one.b)) == (2000, 3000)


@pytest.mark.parametrize(
    ("a", "b", "bounds"),
    [
        ([0, 0.25, 1], [0.5], (0, 1)),
        ([5, 5], [5], (5, 6)),
        ([-1e308, 1e308], [0], (-1e308, 1e308)),
        ([float("nan"), 0.5, float("inf")], [0.5], (0, 1)),
    ],
)
def test_values_at_the_edges(a: list[float], b: list[float], bounds: tuple[float, float]) -> None:
    one = found(a, b)
    assert one is not None
    assert (one.low, one.high) == bounds
    assert sum(one.a) == np.isfinite(a).sum()
    assert 0 <= one.drift <= 1


def test_there_is_none_without_values() -> None:
    assert found([float("nan")], [1]) is None
