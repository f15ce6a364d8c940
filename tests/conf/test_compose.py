"""Every file under conf/ composes to a typed job."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import conf
from jobs.config import to_job
from jobs.job import Job

ROOT = Path(conf.__file__).parent
CHOICES = sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.rglob("*.yaml"))
REQUIRED = ["model.checkpoint=weights.pt", "dataset.path=images"]


def compose_job(*overrides: str) -> Job:
    with initialize_config_module("conf", version_base="1.3"):
        return to_job(compose("batch_infer", overrides=list(overrides)))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_file_composes(choice: str) -> None:
    group, _, name = choice.rpartition("/")
    overrides = {"": [], "dataset": [f"+dataset={name}"]}.get(group, [f"{group}={name}"])
    if group != "dataset":
        overrides = [*overrides, "+dataset=images"]
    job = compose_job(*overrides, *REQUIRED)
    assert isinstance(job, Job)
    if group in ("dataset", "task", "engine"):
        part = getattr(job, group)
        assert (part.kind if group == "dataset" else part.name) == name


def test_the_sample_needs_no_other_argument() -> None:
    job = compose_job("+dataset=sample")
    assert Path(job.dataset.path).is_file()
    assert Path(job.model.checkpoint).is_file()
    assert job.output.path == "outputs/sample"


def test_the_sample_takes_another_model_when_told() -> None:
    assert compose_job("+dataset=sample", "model=custom", "model.checkpoint=x.pt").model.architecture is None


def test_enums_lists_and_numbers_arrive_typed() -> None:
    job = compose_job(
        "+dataset=images",
        *REQUIRED,
        "engine.precision=bf16",
        "model.preprocess.resize=[32,48]",
        "batch_size=7",
        "+model.kwargs.num_classes=3",
        "+dataset.storage_options={endpoint: http://127.0.0.1:1}",
    )
    assert job.engine.precision.value == "bf16"
    assert job.model.preprocess.resize == [32, 48]
    assert job.batch_size == 7
    assert job.model.kwargs == {"num_classes": 3}


def test_every_choice_has_a_file() -> None:
    groups = {choice.partition("/")[0] for choice in CHOICES if "/" in choice}
    assert groups == {"dataset", "model", "engine", "task", "output", "cluster"}
    assert OmegaConf.load(ROOT / "batch_infer.yaml")
