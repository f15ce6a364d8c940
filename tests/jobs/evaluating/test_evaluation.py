from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finished import job_over
from scored import Scored
from scored_runs import publish_rows

from actors.errors import JobError
from actors.outputs import open_output
from actors.storage.store import Storage
from actors.tasks.classify import Classify
from jobs.evaluating.config import Evaluate
from jobs.evaluating.evaluation import check_job, evaluate_run
from jobs.job import Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    job = job_over(tmp_path, tmp_path / "out")
    return replace(job, dataset=replace(job.dataset, folder_labels=True))


def test_a_job_with_labels_gives_the_scores_of_its_task(job: Job) -> None:
    assert check_job(Evaluate(), job, Storage())[:2] == ["accuracy", "top1"]


@pytest.mark.parametrize(
    ("wanted", "changes", "said"),
    [
        (Evaluate(fail_under={"to1": 0.5}), {}, "did you mean top1"),
        (Evaluate(), {"redrive": True}, "run.redrive=true: the scores would be those of a part"),
        (Evaluate(), {"slices": 2}, "run.slices=2: the scores would be those of a part"),
        (Evaluate(annotations="nowhere.json"), {}, "evaluate.annotations=nowhere.json: cannot be read"),
    ],
)
def test_a_job_that_could_not_be_scored(wanted: Evaluate, changes: dict[str, Any], said: str, job: Job) -> None:
    with pytest.raises(JobError, match=said):
        check_job(wanted, replace(job, run=replace(job.run, **changes)), Storage())


def test_a_dataset_without_labels(job: Job) -> None:
    with pytest.raises(JobError, match="the dataset has no labels"):
        check_job(Evaluate(), replace(job, dataset=replace(job.dataset, folder_labels=False)), Storage())


def test_the_scores_of_a_run_are_written_beside_it(tmp_path: Path) -> None:
    scored = Scored.random(50, 3)
    paths = publish_rows(tmp_path, Classify(), [scored.rows], labels=scored.labels)
    measured = evaluate_run(open_output(str(tmp_path)).run("r"), Evaluate())
    written = json.loads(Path(paths.metrics).read_text())
    assert written["metrics"] == measured.scores
    assert written["metrics"]["accuracy"] == (scored.scores.argmax(1) == scored.targets).mean()
    assert (written["run_id"], written["num_labelled"], written["num_failed"]) == ("r", 50, 1)
