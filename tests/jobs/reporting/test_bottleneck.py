from __future__ import annotations

import json
from dataclasses import replace

import pytest

from actors.engines.configs import Precision, TorchEngineConfig
from actors.tracking.progress_counts import Pace
from actors.trials.comparison import Trial
from actors.trials.engine_trial import Rates
from actors.trials.sampling import Costs
from jobs.planning.calibration import Calibration
from jobs.planning.engine_cache import Choice
from jobs.planning.planner import Plan
from jobs.reporting.bottleneck import DECODE, MODEL, READ, START, Bottleneck, Measured, judge

FUSED = Plan(
    is_fused=True, workers=2, worker_cpus=0.99, worker_gpus=0, read_cpus=0, writers=2, batch_size=32, piece_rows=96,
    rows_per_part=100, block_bytes=4, threads=1,
)  # fmt: skip
APART = Plan(
    is_fused=False, workers=1, worker_cpus=1, worker_gpus=1, read_cpus=1, writers=2, batch_size=128, piece_rows=512,
    rows_per_part=100, block_bytes=4, threads=1,
)  # fmt: skip
NAMED = Choice(TorchEngineConfig(), "named")


def measured(
    read: float, decode: float, model: float, *, steady: float = 100.0, start_s: float = 10.0, cpus: float = 2
) -> Measured:
    """Returns a run of 1,000 images, 900 of them in its steady part."""
    pace = Pace(900, 900 / steady)
    stages = {READ: read, DECODE: decode, MODEL: model}
    return Measured(1000, stages, pace.seconds + start_s, pace, cpus)


def verdict(run: Measured, plan: Plan = FUSED, choice: Choice = NAMED, price: float | None = None) -> Bottleneck:
    found = judge(run, plan, choice, price_per_hour=price)
    assert found
    return found


@pytest.mark.parametrize(
    ("stages", "bound_by"), [((0.1, 0.01, 0.01), READ), ((0.01, 0.1, 0.01), DECODE), ((0.01, 0.02, 0.1), MODEL)]
)
def test_a_worker_of_all_stages_is_bound_by_the_longest_stage(
    stages: tuple[float, float, float], bound_by: str
) -> None:
    found = verdict(measured(*stages, steady=10))
    assert found.bound_by == bound_by
    assert found.limit_images_per_s == pytest.approx(2 / sum(stages))
    assert found.share_of_limit == pytest.approx(10 * sum(stages) / 2)
    assert sum(found.shares.values()) == pytest.approx(1)


def test_with_read_tasks_the_slower_side_is_the_limit() -> None:
    fed = verdict(measured(0.001, 0.01, 0.005, steady=190, cpus=9, start_s=0), APART)
    assert fed.bound_by == MODEL
    assert fed.limit_images_per_s == pytest.approx(200)
    starved = verdict(measured(0.001, 0.01, 0.005, steady=170, cpus=3, start_s=0), APART)
    assert starved.bound_by == DECODE
    assert starved.limit_images_per_s == pytest.approx(2 / 0.011)
    [advice] = starved.advice
    assert advice.what.startswith("1.1 times the CPUs for each GPU")
    assert advice.speedup == pytest.approx(200 * 0.011 / 2)


def test_a_run_that_mostly_starts_up_is_bound_by_start_up() -> None:
    found = verdict(measured(0.001, 0.001, 0.01, start_s=20))
    assert found.bound_by == START
    assert str(found.advice[0]) == ("many more images in one job (start-up took 69% of this one): 2.9 times as fast")


def test_twice_the_cpus_halve_all_but_the_start() -> None:
    [advice] = verdict(measured(0, 0.001, 0.019, steady=90, start_s=10)).advice
    assert advice.what == "twice the CPUs (4)"
    assert advice.speedup == pytest.approx(20 / 15)


def test_advice_comes_from_the_trials_and_is_sorted_by_speedup() -> None:
    trials = [
        Trial("torch fp32", 50.0),
        Trial("openvino bf16", 500.0, breaches=["differs"]),
        Trial("torch bf16", 10.0, breaches=["differs"]),
    ]
    calibration = Calibration(Costs(0, 0), Rates({8: 40.0, 32: 50.0, 128: 100.0}, 1))
    choice = Choice(TorchEngineConfig(precision=Precision.fp32), "the only one", trials, 256, calibration)
    found = verdict(measured(0, 0, 0.02, steady=90, start_s=0), FUSED, choice)
    assert [advice.what.split(",")[0] for advice in found.advice] == [
        "openvino bf16",
        "batch_size=128",
        "twice the CPUs (4)",
    ]
    assert [advice.speedup for advice in found.advice] == pytest.approx([10, 2, 2])


def test_waiting_for_bytes_is_cured_by_larger_files() -> None:
    found = verdict(measured(0.012, 0.001, 0.003, steady=90, start_s=0))
    assert found.advice[0].what.startswith("fewer and larger files")
    assert found.advice[0].speedup == pytest.approx(4)


def test_the_price_of_a_million() -> None:
    run = measured(0, 0.001, 0.01, start_s=1)
    found = verdict(run, price=36.0)
    assert (found.price_per_million, found.start_price) == pytest.approx((0.01 / 100 * 1e6, 0.01))
    hasty = verdict(replace(run, pace=Pace(0, 0.0)), price=36.0)
    assert (hasty.price_per_million, hasty.start_price) == (pytest.approx(0.01 * 10 / 1000 * 1e6), None)
    assert verdict(run).price_per_million is None


def test_a_run_without_images_has_no_verdict_and_one_of_one_batch_no_share() -> None:
    assert judge(Measured(0, {READ: 0, DECODE: 0, MODEL: 0}, 5, Pace(0, 0), 2), FUSED, NAMED) is None
    short = verdict(Measured(8, {READ: 0, DECODE: 0.01, MODEL: 0.01}, 5, Pace(0, 0), 2))
    assert (short.bound_by, short.share_of_limit) == (START, None)


def test_the_verdict_prints_as_a_sentence_and_serialises_to_json() -> None:
    found = verdict(measured(0.0, 0.002, 0.018, steady=90, start_s=1))
    assert str(found) == (
        "bound by the model (reading 0%, decoding 10%, the model 90%); the stages alone could reach 100.0 images/s, "
        "of which the steady part reached 90%"
    )
    assert json.loads(json.dumps(found.to_json()))["share_of_limit"] == pytest.approx(0.9)
