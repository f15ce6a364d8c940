from __future__ import annotations

import logging
from pathlib import Path

import pytest
from detected import DetectedRun
from places import local_place

from actors.engines.configs import AutoEngineConfig
from actors.outputs import PublishedRun, open_output
from actors.reading.shards import Shards
from actors.tasks.detect import Detect
from jobs.datasets.images import ImagesDataset
from jobs.job import Job, Output
from jobs.pages.page_file import add_page, write_page
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


def opened(run: PublishedRun) -> Run:
    job = Job(
        dataset=ImagesDataset(path="/data"),
        engine=AutoEngineConfig(),
        task=Detect(),
        output=Output(path=run.paths.root),
    )
    shards = Shards.open(run.storage, run.paths.inventory)
    return Run(job, None, run.storage, run.paths, run.record, shards)  # type: ignore[arg-type]


@pytest.mark.parametrize("pictures", [0, 400])
def test_the_page_of_a_run_of_an_earlier_version(run: PublishedRun, pictures: int) -> None:
    assert write_page(run, pictures=pictures) == run.paths.page
    page = Path(run.paths.page).read_text()
    assert "8 listed = 7 ok + 1 errors" in page
    assert Path(run.paths.page).name == "report.html"


def test_a_job_adds_its_page(run: PublishedRun, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "shardlens"):
        add_page(opened(run), 10.0)
    assert Path(run.paths.page).is_file()
    assert f"report: {run.paths.page}" in caplog.text


def test_no_problem_of_a_page_is_one_of_the_job(run: PublishedRun, caplog: pytest.LogCaptureFixture) -> None:
    Path(run.paths.report).write_text("{")
    add_page(opened(run), 10.0)
    assert not Path(run.paths.page).exists()
    assert "report.html was not written: " in caplog.text
    assert f"python -m jobs.report output.path={run.paths.root} run.id=a makes it" in caplog.text
