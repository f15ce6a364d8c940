from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from finished import CHECKED, add_photos, finish, job_over, opened
from places import Place

from actors.storage.store import Storage
from jobs.job import Job, Output
from jobs.runs.empty_runs import without_empty
from jobs.runs.opening import open_run


def test_a_run_of_nothing_leaves_no_trace_and_the_one_with_the_images_stands_for_it(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_photos(tmp_path / "images", range(3))
    job = replace(
        job_over(tmp_path / "images", tmp_path), output=Output(path=place.root, storage_options=dict(place.options))
    )
    storage = Storage(place.options)
    first = open_run(job, CHECKED, storage)
    finish(first)
    before = storage.children(f"{place.root}/runs")
    empty = open_run(job, CHECKED, storage)
    with caplog.at_level(logging.INFO, "shardlens"):
        stands = without_empty(empty)
    assert (stands.paths, stands.record.is_published, stands.shards.num_rows) == (first.paths, True, 3)
    assert storage.children(f"{place.root}/runs") == before
    assert f"no new image: nothing to do; run {first.record.run_id} has the latest ones" in caplog.text


@pytest.mark.parametrize("options", [{"id": "nightly"}, {"keep_empty": True}])
def test_a_run_of_nothing_stays_where_the_user_asks_for_it(options: dict[str, object], job: Job) -> None:
    finish(opened(job))
    run = opened(job, **options)
    assert without_empty(run) is run


def test_the_first_run_of_an_output_stays(job: Job, images: Path) -> None:
    for image in images.iterdir():
        image.unlink()
    run = opened(replace(job, dataset=replace(job.dataset, allow_empty=True)))
    assert run.record.num_listed == 0
    assert without_empty(run) is run


def test_a_run_with_images_or_one_that_ended_is_left_alone(job: Job) -> None:
    run = opened(job, id="a")
    assert without_empty(run) is run
    finish(run)
    ended = opened(job, id="a")
    assert without_empty(ended) is ended
