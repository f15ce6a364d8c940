from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.errors import JobError
from actors.storage.store import Storage
from jobs.config import to_following
from jobs.following.config import Best, Checkpoints, Following
from jobs.schemas import compose_verb


def following(*overrides: str) -> Following:
    return to_following(compose_verb("follow", ["checkpoints.path=ck", *overrides]))


def test_a_job_needs_no_checkpoint_and_gets_each_as_it_comes() -> None:
    wanted = following("+dataset=sample")
    assert wanted.job.checkpoints.path == str(Path("ck").absolute())
    assert wanted.job.model.checkpoint == ""
    assert (wanted.job.engine.name, wanted.job.run.mode) == ("torch", "full")
    for name in ("a.pt", "${oc.env:HOME}.pt", "50%.pt"):
        job = wanted.job_for(checkpoint=f"/ck/{name}").job
        assert job.model.checkpoint == f"/ck/{name}"
        assert job.model.architecture == "actors.sample.network:Net"


def test_a_folder_takes_the_place_of_the_source() -> None:
    with pytest.raises(JobError, match=r"model\.source=.*/nowhere: "):
        following("+dataset=images", "dataset.path=x", "model.source=timm:resnet18").job_for(source="/nowhere")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["run.id=x"], "run.id=x: each checkpoint has its own"),
        (["evaluate.run=x"], "evaluate.run=x: each"),
        (["evaluate.results_file=x.csv"], "evaluate.results_file=x.csv: each"),
        (["model.sha256=abc"], "model.sha256=abc: each"),
        (["checkpoints.patience=0"], "checkpoints.patience=0: less than 1"),
        (["checkpoints.poll_s=0"], "checkpoints.poll_s=0.0: less than 0.1"),
        (["checkpoints.poll_s=nan"], "checkpoints.poll_s=nan: less than 0.1"),
        (["checkpoints.max_failures=0"], "checkpoints.max_failures=0: less than 1"),
    ],
)
def test_keys_that_do_not_go_with_following(overrides: list[str], said: str) -> None:
    with pytest.raises(JobError, match=said):
        following("+dataset=sample", *overrides).job.check(Storage())


def test_a_file_is_no_place_to_watch(tmp_path: Path) -> None:
    (tmp_path / "a.pt").touch()
    job = following("+dataset=sample").job
    job.checkpoints.path = str(tmp_path / "a.pt")
    with pytest.raises(JobError, match=r"a\.pt: is a file"):
        job.check(Storage())


@pytest.mark.parametrize(
    ("given", "score", "is_minimum"),
    [({}, "top1", False), ({}, "top1_err", True), ({}, "mae", True), ({"best": Best.max}, "mae", False)],
)
def test_the_direction_of_a_score(given: dict[str, Any], score: str, is_minimum: bool) -> None:  # noqa: FBT001
    assert Checkpoints("ck", **given).is_minimum(score) is is_minimum
