from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from detected import DetectedRun
from finished import STORAGE, add_photos, finish, job_over, opened
from places import local_place

from actors.outputs import PublishedRun, open_output
from jobs.pages.page_file import add_page, read_page, write_page
from jobs.runs.commit import write_document
from jobs.runs.opening import Run

CONFIG = b"""
dataset: {kind: images, path: /data, storage_options: {}}
model: {architecture: 'a:b', labels: null}
task: {name: detect}
"""


@pytest.fixture
def run(tmp_path: Path) -> PublishedRun:
    made = DetectedRun("a")
    made.files["runs/a/config.yaml"] = CONFIG
    made.put(local_place(tmp_path))
    return open_output(str(tmp_path)).run("a")


@pytest.mark.parametrize("pictures", [0, 400])
def test_the_page_of_a_run_of_an_earlier_version(run: PublishedRun, pictures: int) -> None:
    assert write_page(run, pictures=pictures) == run.paths.page
    page = Path(run.paths.page).read_text()
    assert "8 listed = 7 ok + 1 errors" in page
    assert Path(run.paths.page).name == "report.html"


def test_a_page_is_read_or_made_without_being_kept(run: PublishedRun) -> None:
    made = read_page(run)
    assert b"8 listed = 7 ok + 1 errors" in made
    assert not Path(run.paths.page).exists()
    Path(run.paths.page).write_bytes(b"kept")
    assert read_page(run) == b"kept"


@pytest.fixture
def photos(tmp_path: Path) -> Run:
    """A run of two photographs, as published by its job."""
    add_photos(tmp_path / "in", range(2))
    finished = opened(job_over(tmp_path / "in", tmp_path / "out"))
    finish(finished)
    write_document(finished.paths.report, json.dumps({"num_listed": 2, "num_ok": 2, "num_errors": 0}).encode(), STORAGE)
    return finished


def test_a_job_adds_its_page(photos: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "shardlens"):
        add_page(photos.job, photos.paths.root, photos.record.run_id, 1000.0)
    page = Path(photos.paths.page).read_text()
    assert "All 2 images predicted" in page
    assert f"report: {photos.paths.page}" in caplog.text
    assert "hush" not in page  # a key of the dataset's store


def test_no_problem_of_a_page_is_one_of_the_job(photos: Run, caplog: pytest.LogCaptureFixture) -> None:
    Path(photos.paths.report).write_text("{")
    add_page(photos.job, photos.paths.root, photos.record.run_id, 10.0)
    assert not Path(photos.paths.page).exists()
    assert "report.html was not written: " in caplog.text
    fix = f"python -m jobs.report output.path={photos.paths.root} run.id={photos.record.run_id} creates it"
    assert fix in caplog.text
