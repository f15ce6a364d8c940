from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score

from actors.columns import TARGET
from actors.evaluation.regression import RegressionError


@pytest.mark.parametrize(("scale", "mean"), [(10.0, 40.0), (1e-4, 0.0), (1e5, -3e5)])
def test_distances_are_those_of_torchmetrics(scale: float, mean: float) -> None:
    rng = np.random.default_rng(0)
    known = np.round(rng.normal(size=200) * scale + mean, 9)
    given = (known + rng.normal(size=200) * scale / 3).astype(np.float32)
    rows = pa.table({"age": given, TARGET: [repr(value) for value in known.tolist()]})
    error = RegressionError("age")
    for part in (rows.slice(150), rows.slice(0, 0), rows.slice(0, 150)):
        error.update(part)
    found = error.compute(error.counts())
    metrics = {"mse": MeanSquaredError(), "rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError()}
    assert found["r2"] == pytest.approx(1 - ((given - known) ** 2).mean() / known.var(), rel=1e-6)
    if scale > 1:  # torchmetrics treats a small spread as none
        metrics["r2"] = R2Score()
    for name, metric in metrics.items():
        metric.set_dtype(torch.float64)
        metric.update(torch.from_numpy(given).double(), torch.from_numpy(known))
        assert found[name] == pytest.approx(float(metric.compute()), rel=1e-6), name


def test_labels_that_are_no_numbers_are_left_out() -> None:
    rows = pa.table({"age": pa.array([1, 2, 3, None], pa.float32()), TARGET: ["1.5", "cat", None, "4"]})
    error = RegressionError("age", prefix="age")
    error.update(rows)
    assert error.compute(error.counts()) == {"age_mse": 0.25, "age_rmse": 0.5, "age_mae": 0.5}
    assert error.compute({}) == {}
