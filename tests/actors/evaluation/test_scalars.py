from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from actors.evaluation.scalars import ScalarStats


def test_the_mean_is_of_images_whatever_the_batches() -> None:
    values = np.random.default_rng(0).normal(size=101).astype(np.float32)
    rows = pa.table({"loss": values, "angle": pa.array([None, np.nan, *values[2:].tolist()], pa.float32())})
    states = []
    for cut in (1, 60):
        stats = ScalarStats(["loss", "angle"], prefix="validation")
        for part in (rows.slice(cut), rows.slice(0, cut), rows.slice(0, 0)):
            stats.update(part)
        states.append(stats.counts())
    assert states[0] == states[1]
    assert stats.compute(stats.counts()) == {
        "validation_loss": pytest.approx(values.astype(np.float64).mean(), abs=1e-12),
        "validation_angle": pytest.approx(values[2:].astype(np.float64).mean(), abs=1e-12),
    }
    assert stats.compute({}) == {}
