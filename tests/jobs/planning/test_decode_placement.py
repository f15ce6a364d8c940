from __future__ import annotations

import pytest

from actors.decoding.config import DecodeDevice
from actors.engines.configs import TorchEngineConfig
from actors.trials.decode_trial import DecodeTrial
from actors.trials.engine_trial import Rates
from actors.trials.sampling import Costs
from jobs.planning.calibration import Calibration
from jobs.planning.decode_placement import decode_device
from jobs.planning.engine_cache import Choice
from jobs.planning.planner import Plan

PLAN = Plan(
    is_fused=False, workers=1, worker_cpus=1, worker_gpus=1, read_cpus=1, writers=2, batch_size=128, piece_rows=512,
    rows_per_part=100, block_bytes=4, threads=1,
)  # fmt: skip
CALIBRATION = Calibration(Costs(0.0, 0.002), Rates({128: 4000.0}, 1))
TRIAL = DecodeTrial(cpu_s=0.002, gpu_s=0.0001)


def chosen(
    cpus: float,
    *,
    asked: DecodeDevice = DecodeDevice.auto,
    trial: DecodeTrial | None = TRIAL,
    calibration: Calibration | None = CALIBRATION,
) -> DecodeDevice:
    choice = Choice(TorchEngineConfig(), "named", calibration=calibration, decoders=trial)
    return decode_device(asked, PLAN, choice, cpus=cpus)


@pytest.mark.parametrize(
    ("cpus", "device"),
    [
        (3, DecodeDevice.gpu),  # 2 readers reach 1,000 images/s, and the GPU alone 2,857
        (6, DecodeDevice.gpu),
        (7, DecodeDevice.cpu),  # 3,000
        (100, DecodeDevice.cpu),  # the model's 4,000
    ],
)
def test_the_gpu_decodes_where_the_cpus_cannot_feed_it(cpus: float, device: DecodeDevice) -> None:
    assert chosen(cpus) is device


def test_what_was_not_measured_or_answers_otherwise_stays_on_the_cpu() -> None:
    assert chosen(3, trial=None) is DecodeDevice.cpu
    assert chosen(3, trial=DecodeTrial(0.002, 0.0001, ["differs"])) is DecodeDevice.cpu
    assert chosen(3, calibration=None) is DecodeDevice.cpu


@pytest.mark.parametrize("asked", [DecodeDevice.cpu, DecodeDevice.gpu])
def test_what_is_named_is_taken(asked: DecodeDevice) -> None:
    assert chosen(3, asked=asked) is chosen(100, asked=asked, trial=None) is asked
