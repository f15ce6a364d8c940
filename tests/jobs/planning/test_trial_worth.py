from __future__ import annotations

import pytest

from actors.engines.configs import EngineConfig, OpenVinoEngineConfig, Precision, TorchEngineConfig
from actors.trials.comparison import Trial
from jobs.planning.trial_worth import best_rate, is_worth, likely_share

REFERENCE = Trial("torch fp32", 40.0)
GRAPH = OpenVinoEngineConfig(precision=Precision.fp32)
HALF = OpenVinoEngineConfig(precision=Precision.bf16)
COMPILED = TorchEngineConfig(precision=Precision.bf16, compile=True)


@pytest.mark.parametrize(
    ("candidate", "rivals", "least_s"),
    [
        (HALF, [], 7),
        (GRAPH, [], 16),
        (COMPILED, [], 81),
        (GRAPH, [Trial("onnxruntime fp32", 60.0)], 108),
        (GRAPH, [Trial("onnxruntime fp32", 41.0)], 17),  # slow for a graph, so another one may gain a lot
        (GRAPH, [Trial("onnxruntime fp32", 80.0, breaches=["differs"])], 16),
    ],
)
def test_a_trial_pays_off_from_some_seconds_of_work(candidate: EngineConfig, rivals: list[Trial], least_s: int) -> None:
    trials = [REFERENCE, *rivals]
    assert not is_worth(candidate, trials, 40.0 * (least_s - 1))
    assert is_worth(candidate, trials, 40.0 * least_s)


def test_the_best_rate_is_that_of_an_engine_within_the_tolerance() -> None:
    assert best_rate([REFERENCE, Trial("a", 90.0, breaches=["differs"]), Trial("b", 70.0)]) == 70.0


def test_a_job_is_likely_to_take_what_the_fastest_candidate_leaves() -> None:
    assert likely_share([]) == 1.0
    assert likely_share([GRAPH]) == pytest.approx(0.67)
    assert likely_share([GRAPH, HALF]) == pytest.approx(0.25)
