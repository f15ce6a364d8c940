from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from actors.trials.engine_trial import Rates
from actors.trials.sampling import Costs
from jobs.planning.calibration import Calibration

COSTS = Costs(0.0001, 0.001)


@pytest.mark.parametrize(
    ("rates", "batch_size"),
    [
        ({8: 27.0, 32: 27.0, 128: 27.5}, 32),  # noise
        ({8: 27.0, 32: 27.0, 128: 40.0}, 128),
        ({8: 40.0, 32: 27.0, 128: 27.0}, 8),
        ({8: 27.0}, 8),  # the usual batch did not fit on the device
        ({}, 32),
    ],
)
def test_another_batch_size_must_be_faster(rates: dict[int, float], batch_size: int) -> None:
    assert Calibration(COSTS, Rates(rates, 10**9)).batch_size(32) == batch_size


def test_it_goes_through_json() -> None:
    calibration = Calibration(COSTS, Rates({8: 27.0, 32: 28.0}, 10**9))
    assert Calibration.from_json(json.loads(json.dumps(asdict(calibration)))) == calibration
    assert Calibration.from_json(None) is None
