from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from finished import job_over

from actors.engines.configs import Precision, TorchEngineConfig
from actors.models.spec import Model
from actors.tasks.classify import Classify
from jobs.following.evaluations import _folder_name, _pinned, job_digest
from jobs.job import Job

DIGEST = "0" * 64


@pytest.mark.parametrize(
    "change",
    [
        lambda job: replace(job, task=Classify(top_k=3)),
        lambda job: replace(job, model=replace(job.model, architecture="a:b")),
        lambda job: replace(job, dataset=replace(job.dataset, path="elsewhere")),
        lambda job: replace(job, engine=TorchEngineConfig(precision=Precision.bf16)),
    ],
)
def test_scores_of_another_job_cannot_be_compared(change: Callable[[Job], Job], tmp_path: Path) -> None:
    job = job_over(tmp_path, tmp_path / "out")
    assert job_digest(change(job)) != job_digest(job)


def test_the_weights_and_the_machine_do_not_make_another_job(tmp_path: Path) -> None:
    job = job_over(tmp_path, tmp_path / "out")
    other = replace(job, batch_size=7, model=replace(job.model, checkpoint="y.pt", storage_options={"region": "x"}))
    assert job_digest(other) == job_digest(job)


@pytest.mark.parametrize(
    ("checkpoint", "architecture", "is_folder", "is_pinned"),
    [
        ("a.pt", "m:Net", False, True),
        ("a.safetensors", "m:Net", False, True),
        ("a.pt", None, False, False),  # pinned on its own, it would be read as TorchScript, which runs code
        ("a.torchscript", None, False, False),
        ("a.pt2", None, False, False),
        ("a.onnx", None, False, False),
        ("model.safetensors.index.json", "m:Net", False, False),
        ("step-1/model.safetensors", "m:Net", True, False),
    ],
)
def test_a_state_dict_alone_is_held_to_its_content(
    checkpoint: str, architecture: str | None, *, is_folder: bool, is_pinned: bool
) -> None:
    model = _pinned(Model(architecture, checkpoint=checkpoint), DIGEST, is_folder=is_folder)
    assert model.sha256 == (DIGEST if is_pinned else "")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("epoch-3.pt", "epoch-3"),
        ("a/b c/weights.pth.tar", "a-b-c-weights"),
        ("_x.pt", "x"),
        ("日本.pt", "checkpoint"),
        ("v1.5", "v1.5"),
        ("y" * 200, "y" * 60),
    ],
)
def test_a_run_is_named_after_its_checkpoint(name: str, folder: str) -> None:
    assert _folder_name(name) == folder
