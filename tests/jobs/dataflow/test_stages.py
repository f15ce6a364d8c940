"""Stages of a job over real images on a real cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from finished import CHECKED, STORAGE, add_photos, job_over

from actors.engines.configs import AutoEngineConfig, Gate, TorchEngineConfig
from actors.models.spec import Model
from actors.sample.train import FOLDER, PREPROCESS
from jobs.cluster.resources import Resources
from jobs.dataflow.stages import plan_again, prepare_stages
from jobs.runs.opening import Run, open_run

DIGITS = Model("actors.sample.network:Net", checkpoint=str(FOLDER / "digits.safetensors"), preprocess=PREPROCESS)


def run_over(folder: Path, *, image_s: float, **changes: object) -> Run:
    add_photos(folder / "images", range(12))
    job = replace(job_over(folder / "images", folder / "out"), model=DIGITS, **changes)
    return open_run(job, replace(CHECKED, image_s=image_s), STORAGE)


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_a_small_job_is_planned_by_rules_alone(tmp_path: Path) -> None:
    run = run_over(tmp_path, image_s=0.001)
    run.job.dataset.read_concurrency = 3
    stages, choice, rivals = prepare_stages(run, Resources(2, 0), num_missing=12)
    assert rivals is None
    assert stages.read.concurrency == 3
    assert choice.calibration is None
    assert stages.plan.batch_size == stages.read.batch_size == 512
    assert stages.sink.guard is None
    assert stages.sink.provenance["engine"] == "torch auto"


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_a_long_one_by_what_was_measured_which_is_kept(tmp_path: Path) -> None:
    run = run_over(tmp_path, image_s=1000.0)
    stages, choice, _ = prepare_stages(run, Resources(2, 0), num_missing=12)
    assert choice.calibration
    assert list(choice.calibration.rates.images_per_s) == [128, 512, 2048]
    assert stages.plan.batch_size == stages.read.batch_size == choice.calibration.batch_size(512)
    assert stages.recipe.engine.threads == 1
    again, kept, _ = prepare_stages(run, Resources(2, 0), num_missing=12)
    assert (again.plan, kept.calibration) == (stages.plan, choice.calibration)
    gated = replace(run, job=replace(run.job, engine=TorchEngineConfig(gate=Gate.off)))
    assert prepare_stages(gated, Resources(2, 0), num_missing=12)[1].calibration != choice.calibration


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_what_was_not_tried_before_the_run_is_left_to_a_race(tmp_path: Path) -> None:
    run = run_over(tmp_path, image_s=10.0, engine=AutoEngineConfig())
    stages, choice, rivals = prepare_stages(run, Resources(2, 0), num_missing=12)
    assert rivals
    tried = {trial.engine for trial in choice.trials}
    assert {rivals.right.label, choice.engine.label} <= tried
    assert rivals.others
    assert tried.isdisjoint(other.label for other in rivals.others)
    other = rivals.others[0]
    resources = Resources(2, 0)
    again = plan_again(stages, run, resources, replace(choice, engine=other), num_missing=6)
    assert stages.sink.provenance["engine"] == choice.engine.label
    assert (again.sink.provenance["engine"], again.recipe.engine.label) == (other.label, other.label)
