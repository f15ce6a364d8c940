from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.engines.configs import OnnxEngineConfig, Precision
from actors.engines.hardware import hardware
from actors.errors import JobError
from actors.storage.store import Storage
from actors.trials.comparison import Trial
from actors.writing.run_paths import RunPaths
from jobs.config import compose_serving
from jobs.job import Job
from jobs.planning.engine_cache import Choice, KeptChoice
from jobs.runs.preflight import model_fingerprint
from jobs.serving.config import Serve
from jobs.serving.engine_choice import choose_engine, tried


def job(*overrides: str) -> Job:
    return compose_serving(["model=digits", "engine=auto", *overrides]).job


def test_an_engine_is_taken_that_agrees_and_is_faster_or_else_the_reference() -> None:
    found = choose_engine(job(), Serve(), is_here=True)
    is_faster = found.engine.name != "torch" or found.engine.precision is Precision.bf16
    assert ("agrees with the reference" if is_faster else "no other was faster") in found.why


def test_no_engine_is_taken_whose_answers_differ() -> None:
    found = choose_engine(job("engine.tolerance={score_difference: 0}"), Serve(), is_here=True)
    assert (found.engine.name, found.engine.precision) == ("torch", Precision.fp32)
    assert "differs from torch fp32" in found.why


def test_a_precision_that_no_engine_has_here_is_an_error() -> None:
    with pytest.raises(JobError, match=r"engine\.precision=int8: no such engine here"):
        choose_engine(job("engine.precision=int8"), Serve(), is_here=True)


def test_the_choice_of_a_job_for_the_model_and_hardware_is_taken_over(tmp_path: Path) -> None:
    wanted = job("engine.threads=1")
    paths = RunPaths(str(tmp_path), model_fingerprint(wanted), "r")
    slow, fast = OnnxEngineConfig(precision=Precision.fp32, threads=7), "onnxruntime fp32"
    choice = Choice(slow, "the fastest of 2", [Trial("torch fp32", 1.0), Trial(fast, 2.0)], 256)
    KeptChoice(paths, Storage(), "auto", hardware(with_gpu=False)).write(choice)
    found = choose_engine(wanted, Serve(output=str(tmp_path)), is_here=True)
    assert (found.engine.label, found.engine.threads) == (fast, 1)
    assert found.why == f"the choice of a job with output.path={tmp_path}"


def test_an_engine_with_other_answers_is_refused_unless_the_gate_is_off() -> None:
    recipe = compose_serving(["model=digits", "engine=openvino", "engine.tolerance={score_difference: 0}"]).job.recipe
    with pytest.raises(JobError, match="differs from torch fp32"):
        tried(recipe)
    gate = compose_serving(["model=digits", "engine=openvino", "engine.gate=off"]).job.recipe
    tried(replace(gate))
