from __future__ import annotations

from dataclasses import replace

import pytest

from actors.errors import JobError
from actors.writing.records import Identity, Record
from jobs.job import Job, Mode, Resume
from jobs.runs.run_choice import REDRIVE, mode_of, named_run, resumed_by, unfinished_run

MINE = Identity("mabc", "dataset", "incremental")


def run(run_id: str, identity: Identity = MINE, *, published: bool = False) -> Record:
    made = Record(run_id, identity, "columns", f"2026-01-01T00:00:0{run_id[-1]}", 5, 1, "digest")
    return made.published() if published else made


def with_run(job: Job, **settings: object) -> Job:
    return replace(job, run=replace(job.run, **settings))  # type: ignore[arg-type]


def test_the_mode_is_that_of_the_config_or_redrive(job: Job) -> None:
    assert mode_of(with_run(job, mode=Mode.full)) == "full"
    assert mode_of(with_run(job, redrive=True)) == REDRIVE
    assert resumed_by(job, MINE) == [MINE]
    tried_again = replace(MINE, mode=REDRIVE)
    assert resumed_by(with_run(job, redrive=True), tried_again) == [tried_again, MINE]


def test_the_latest_unfinished_run_of_the_same_job_is_gone_on_with(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    other = run("r3", replace(MINE, fingerprint="mdef"))
    records = [run("r4", published=True), other, run("r2"), run("r1")]
    assert unfinished_run(job, records, MINE) == records[2]
    assert "run r3 is unfinished but has a different model, pre-processing or task" in caplog.text
    assert "run r1 is unfinished but is not the latest one" in caplog.text
    assert unfinished_run(job, records[:2], MINE) is None
    with pytest.raises(JobError, match=r"run\.resume=never: run r2 of this job"):
        unfinished_run(with_run(job, resume=Resume.never), records, MINE)


def test_a_named_run_is_that_one_or_none_or_a_mistake(job: Job) -> None:
    named = with_run(job, id="r1")
    assert named_run(named, [run("r2")], MINE) is None
    assert named_run(named, [run("r1")], MINE) == run("r1")
    assert named_run(named, [run("r1", published=True)], MINE) == run("r1", published=True)
    with pytest.raises(JobError, match="a job with a different dataset used that id"):
        named_run(named, [run("r1")], replace(MINE, dataset_digest="other"))
    with pytest.raises(JobError, match=r"run\.id=r1: that run is already published"):
        named_run(with_run(named, redrive=True), [run("r1", published=True)], MINE)
