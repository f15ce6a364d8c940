"""Trials in workers of a real cluster, over an inventory opened like a job's."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch
from finished import add_photos, job_over, opened

from actors.decoding.config import Decode
from actors.engines.base import Pending
from actors.engines.configs import (
    EngineConfig,
    OnnxEngineConfig,
    OpenVinoEngineConfig,
    Precision,
    TorchEngineConfig,
)
from actors.engines.hardware import hardware
from actors.engines.openvino_engine import OpenVinoEngine
from actors.engines.torch_engine import TorchEngine
from actors.errors import JobError
from actors.models.spec import Model
from actors.pixel_arrays import Pixels
from actors.reading.reader import ReadPlan
from actors.recipe import Recipe
from actors.sample.train import FOLDER, PREPROCESS
from actors.storage.store import Storage
from jobs.planning.planner import Plan
from jobs.planning.trial_runner import TrialRunner

PLAN = Plan(
    is_fused=True, workers=1, worker_cpus=0.5, worker_gpus=0, read_cpus=0, writers=2, batch_size=4, piece_rows=8,
    rows_per_part=40, block_bytes=4 * 32 * 32 * 3, threads=1,
)  # fmt: skip
DIGITS = Model("actors.sample.network:Net", checkpoint=str(FOLDER / "digits.safetensors"), preprocess=PREPROCESS)
REFERENCE = TorchEngineConfig(precision=Precision.fp32, threads=1)


def runner_over(
    folder: Path, model: Model = DIGITS, engine: EngineConfig | None = None, plan: Plan = PLAN
) -> TrialRunner:
    add_photos(folder / "images", range(12))
    (folder / "images" / "bad.jpg").write_bytes(b"no image")
    job = job_over(folder / "images", folder / "out")
    run = opened(replace(job, model=model, engine=engine or TorchEngineConfig()))
    read = ReadPlan(run.shards.without_sizes(), Storage(), Decode(), PREPROCESS, plan.batch_size)
    trials = TrialRunner(run, plan, read)
    trials.limit_reference(5)
    return trials


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_pytorch_cannot_use_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    on_gpu = runner_over(tmp_path, plan=replace(PLAN, worker_gpus=1))
    monkeypatch.setattr(on_gpu, "_start", lambda *_: [ray.put(hardware(with_gpu=True))])  # tests share no GPU
    assert on_gpu.hardware().gpu is None
    assert "PyTorch finds no GPU" in caplog.text


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_an_engine_is_held_against_the_reference(tmp_path: Path) -> None:
    trials = runner_over(tmp_path)
    assert trials.sample() == 12  # one of thirteen is not an image
    right = trials.reference(REFERENCE)
    assert right
    assert right.engine == "torch fp32"
    assert right.images_per_s > 0
    assert trials.num_images == 12
    same = trials.candidate(REFERENCE)
    assert same.breaches == []
    assert same.figures["score_difference"] == 0
    half = trials.candidate(TorchEngineConfig(precision=Precision.bf16, threads=1))
    assert 0 < half.figures["score_difference"] < 1
    assert trials.hardware().gpu is None
    calibration = trials.calibrate(REFERENCE, [2, 8])
    assert calibration
    assert list(calibration.rates.images_per_s) == [2, 8]
    assert calibration.costs.decode_s > 0


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(("image_s", "threads"), [(0.001, 1), (1.0, 5)])
def test_a_loaded_reference_runs_in_the_driver_on_spare_cpus_if_it_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_s: float, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    trials, seen = runner_over(tmp_path), set[int]()

    class Watched(TorchEngine):
        def start(self, pixels_nhwc: Pixels) -> Pending:
            seen.add(torch.get_num_threads())
            return super().start(pixels_nhwc)

    trials._loaded, trials._image_s = Watched(REFERENCE, DIGITS), image_s
    seen.clear()  # loading runs two blank images
    assert trials.sample() == 12
    assert trials.reference(REFERENCE)
    assert seen == {threads}
    assert torch.get_num_threads() == 1
    assert not trials.has_loaded
    assert trials.candidate(REFERENCE).breaches == []
    trials._loaded = OpenVinoEngine(OpenVinoEngineConfig(precision=Precision.fp32, threads=1), DIGITS)
    assert trials.has_loaded is (threads == 1)  # it cannot use more threads


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_behind_a_run_a_rival_is_timed_next_to_the_engine_that_runs(tmp_path: Path) -> None:
    trials, is_over = runner_over(tmp_path), threading.Event()
    trials.run_behind(is_over, limit_s=120)
    assert not trials.has_reference
    assert trials.sample() == 12
    assert trials.reference(REFERENCE)
    assert trials.has_reference
    half = TorchEngineConfig(precision=Precision.bf16, threads=1)
    rates = [trials.challenge(REFERENCE, rate, half).images_per_s for rate in (1.0, 1e6)]
    assert 0 < rates[0] < rates[1]  # relative to the given rate
    assert trials.challenge(REFERENCE, 100.0, half).figures["score_difference"] > 0
    is_over.set()
    with pytest.raises(CancelledError):
        trials.challenge(REFERENCE, 100.0, half)


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_a_candidate_may_fail_in_any_way(tmp_path: Path) -> None:
    trials = runner_over(tmp_path, replace(DIGITS, kwargs={"nothing": "such"}))
    assert trials.sample() == 12
    with pytest.raises(JobError, match="nothing"):
        trials.reference(REFERENCE)
    trials.recipe = Recipe(DIGITS)
    trials.reference(REFERENCE)
    with pytest.raises(JobError, match=r"engine.precision=bf16"):
        trials.candidate(OnnxEngineConfig(precision=Precision.bf16))
    trials.recipe = Recipe(replace(DIGITS, architecture="os:abort"))
    assert "its worker did not finish" in trials.candidate(REFERENCE).breaches[0]
    assert trials.reference(REFERENCE) is None
    assert trials.calibrate(REFERENCE, [2]) is None
