from __future__ import annotations

import numpy as np
import pytest
import torch
from scored import Scored
from torchmetrics.classification import MulticlassCalibrationError

from actors.evaluation.calibration import Calibration


def certain() -> Scored:
    """Returns scores of exactly 0 and 1, and on bin boundaries."""
    scores = np.array([[1, 0], [0, 1], [0.6, 0.4], [0.4, 0.6], [0.5, 0.5], [0.8, 0.2]], np.float32)
    return Scored.of(scores, np.array([0, 0, 0, 1, 1, 1]))


@pytest.mark.parametrize("scored", [Scored.random(700, 7, absent=4), certain()])
def test_the_error_is_that_of_torchmetrics_in_any_order(scored: Scored) -> None:
    metric = MulticlassCalibrationError(scored.scores.shape[1], n_bins=15, norm="l1")
    metric.update(torch.from_numpy(scored.scores), torch.from_numpy(scored.targets))
    states = []
    for seed in range(3):
        calibration = Calibration()
        for rows in scored.batches(seed):
            calibration.update(rows)
        states.append(calibration.counts())
        assert calibration.compute(calibration.counts()) == {"ece": pytest.approx(float(metric.compute()), abs=1e-6)}
    assert states[0] == states[1] == states[2]


def test_bins_add_up() -> None:
    scored, calibration = Scored.random(200, 4), Calibration()
    calibration.update(scored.rows)
    bins = calibration.bins(calibration.counts())
    assert len(bins) == 16
    assert sum(number for number, _, _ in bins) == 200
    assert calibration.compute({}) == {}
