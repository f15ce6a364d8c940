from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from finished import CHECKED, STORAGE, add_photos, finish, opened, write_shard

from actors.errors import JobError
from jobs.job import Job, Mode
from jobs.runs.preview import Preview, preview_run


def files(output: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(output).rglob("*") if path.is_file()}


def test_each_state_of_an_output_is_foreseen_and_nothing_is_written(job: Job, images: Path) -> None:
    root = str(job.output.path)
    assert preview_run(job, CHECKED, STORAGE) == Preview(None, 5)
    assert not Path(root).exists()

    run = opened(job)
    write_shard(run, 0)
    before = files(root)
    assert preview_run(job, CHECKED, STORAGE) == Preview(run.paths.run_id, 5, 2)

    finish(run, bad=["4.jpg"])
    add_photos(images, [7])
    before = files(root)
    assert preview_run(job, CHECKED, STORAGE).num_missing == 1, "only what is new"
    full = replace(job, run=replace(job.run, mode=Mode.full))
    assert preview_run(full, CHECKED, STORAGE).num_missing == 6
    again = replace(job, run=replace(job.run, redrive=True))
    assert preview_run(again, CHECKED, STORAGE).num_missing == 1, "the error row"
    assert files(root) == before


def test_a_name_that_another_job_has_is_refused(job: Job) -> None:
    finish(opened(job, id="r1"))
    named = replace(job, run=replace(job.run, id="r1"))
    assert preview_run(named, CHECKED, STORAGE) == Preview("r1", 5, 5)
    with pytest.raises(JobError, match="used that id"):
        preview_run(replace(named, run=replace(named.run, mode=Mode.full)), CHECKED, STORAGE)
