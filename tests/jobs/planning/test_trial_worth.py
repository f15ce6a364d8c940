from __future__ import annotations

import pytest

from actors.engines.configs import (
    AutoEngineConfig,
    EngineConfig,
    OnnxEngineConfig,
    OpenVinoEngineConfig,
    Precision,
    TorchEngineConfig,
)
from actors.trials.comparison import Trial
from jobs.planning.trial_worth import best_rate, is_tried, is_worth, likely_share

REFERENCE = Trial("torch fp32", 40.0)
GRAPH = OpenVinoEngineConfig(precision=Precision.fp32)
HALF = OpenVinoEngineConfig(precision=Precision.bf16)
ONNX = OnnxEngineConfig(precision=Precision.fp32)
COMPILED = TorchEngineConfig(precision=Precision.bf16, compile=True)


@pytest.mark.parametrize(
    ("candidate", "rivals", "least_s"),
    [
        (HALF, [], 7),
        (GRAPH, [], 16),
        (COMPILED, [], 81),
        (ONNX, [], 37),
        (ONNX, [Trial("openvino fp32", 60.0)], 258),
        (GRAPH, [Trial("onnxruntime fp32", 60.0)], 108),
        (GRAPH, [Trial("onnxruntime fp32", 41.0)], 17),  # slow for a graph, so another one may gain a lot
        (GRAPH, [Trial("onnxruntime fp32", 80.0, breaches=["differs"])], 16),
    ],
)
def test_a_trial_pays_off_from_some_seconds_of_work(candidate: EngineConfig, rivals: list[Trial], least_s: int) -> None:
    trials = [REFERENCE, *rivals]
    assert not is_worth(candidate, trials, 40.0 * (least_s - 1))
    assert is_worth(candidate, trials, 40.0 * least_s)


@pytest.mark.parametrize(
    ("candidate", "image_s", "least_s"),
    [
        (GRAPH, 0.0001, 0),  # PyTorch takes longer to import than the trial takes
        (HALF, 0.0001, 2),
        (GRAPH, 0.025, 0),
        (HALF, 0.025, 3),
        (GRAPH, 0.4, 46),
        (HALF, 0.4, 23),
        (COMPILED, 0.0001, 81),
        (OpenVinoEngineConfig(precision=Precision.int8), 0.0001, 16),
    ],
)
def test_a_trial_of_a_network_in_memory_pays_off_sooner(candidate: EngineConfig, image_s: float, least_s: int) -> None:
    trials = [Trial("torch fp32", 1 / image_s)]
    assert is_worth(candidate, trials, (least_s + 0.1) / image_s, has_network=True)
    assert not least_s or not is_worth(candidate, trials, (least_s - 1) / image_s, has_network=True)


@pytest.mark.parametrize(("precision", "tried"), [(Precision.auto, False), (Precision.bf16, True)])
def test_a_precision_that_the_reference_lacks_is_tried_at_any_size(precision: Precision, *, tried: bool) -> None:
    assert is_tried(HALF, AutoEngineConfig(precision=precision), [REFERENCE], 1) is tried


def test_the_best_rate_is_that_of_an_engine_within_the_tolerance() -> None:
    assert best_rate([REFERENCE, Trial("a", 90.0, breaches=["differs"]), Trial("b", 70.0)]) == 70.0


def test_a_job_is_likely_to_take_what_the_fastest_candidate_leaves() -> None:
    assert likely_share([]) == 1.0
    assert likely_share([GRAPH]) == pytest.approx(0.67)
    assert likely_share([GRAPH, HALF]) == pytest.approx(0.25)
