"""Every file under conf/ composes to a typed job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import conf
from jobs.cli.overrides import as_typed
from jobs.config import compose_config, to_job
from jobs.job import Job
from jobs.schemas import compose_verb

ROOT = Path(conf.__file__).parent
CHOICES = sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.rglob("*.yaml"))
JOBS = [choice for choice in CHOICES if not choice.startswith(("hydra/", "recipe/"))]
RECIPES = [choice.removeprefix("recipe/") for choice in CHOICES if choice.startswith("recipe/")]
REQUIRED = ["model.checkpoint=weights.pt", "dataset.path=images"]


def compose_job(*overrides: str) -> Job:
    return to_job(compose_verb("batch_infer", list(overrides)))


@pytest.mark.parametrize("choice", JOBS)
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


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_brings_a_task_and_a_model(recipe: str) -> None:
    """Checks recipes before their source is read, which needs a network."""
    words = as_typed([f"+recipe={recipe}", "+dataset=images", "dataset.path=photos", "output.path=~/rows"])
    weights = ["model.checkpoint=yolo.onnx"] if recipe == "yolo" else []
    job = compose_config("batch_infer", [*words, *weights]).wanted
    other = compose_config("batch_infer", [*words, *weights, "model.source=hf:me/mine"]).wanted
    assert job.task.name in ("classify", "detect", "embed", "zero_shot")
    assert job.model.source or (recipe == "yolo" and job.model.preprocess.crop is None)
    assert (other.task.name, other.model.source) == (job.task.name, "hf:me/mine")


def test_choices_of_the_user_are_found_beside_ours(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    text = "defaults: [images_schema, _self_]\nkind: images\npath: /photos/2026\nlimit: 7\n"
    (tmp_path / "dataset/photos.yaml").write_text(text)
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe/birds.yaml").write_text("# @package _global_\ndefaults: [override /task: embed]\n")
    words = ["--config-dir", str(tmp_path), "+dataset=photos", "+recipe=birds", "model.checkpoint=a.pt", "--cfg", "job"]
    command = [sys.executable, "-m", "jobs.batch_infer", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=ROOT.parent)
    composed = OmegaConf.create(done.stdout)
    assert (composed.dataset.path, composed.dataset.limit, composed.task.name) == ("/photos/2026", 7, "embed")


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
    assert groups == {"dataset", "model", "engine", "task", "output", "cluster", "recipe", "hydra"}
    assert OmegaConf.load(ROOT / "batch_infer.yaml")
