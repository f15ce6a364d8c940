from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from finished import STORAGE, finish, opened, write_shard

from actors.errors import JobError
from jobs.job import Job
from jobs.run_result import RunResult
from jobs.runs.opening import Run

EVIL = "<img src=x onerror=alert(1)>"


def result_of(run: Run, status: str = "done", **report: object) -> RunResult:
    content = {"num_listed": 6, "num_ok": 4, "num_errors": 1, "images_per_s": 1234.56, "error_kinds": {EVIL: 1}}
    Path(run.report).write_text(json.dumps({**content, **report}))
    return RunResult.of(run.paths, run.storage, status=status, report=run.report)


def test_rows_and_errors_are_those_of_the_run(job: Job) -> None:
    run = opened(job)
    result = result_of(run, "stopped")
    with pytest.raises(JobError, match="not published"):
        result.rows  # noqa: B018  a property
    finish(run)
    assert len(result.rows.to_arrow(["image_id"])) == 5
    assert len(result.errors.to_arrow(["image_id"])) == 0
    assert result.output.run(result.run_id).num_ok == 5


def test_people_see_counts_and_a_link_and_nothing_unescaped(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    run = opened(job)
    write_shard(run, 0)
    Path(run.paths.page).write_text("<html>")
    result = result_of(run, "over_budget")
    counts = "6 listed = 4 ok + 1 errors + 1 still to do"
    assert repr(result) == f"RunResult({run.record.run_id}: over_budget, {counts}, {run.paths.run})"
    html = result._repr_html_()
    assert "<img" not in html
    assert "&lt;img src=x" in html
    for text in (counts, "over budget", "1,234.6 images/s", f'href="{Path(run.paths.page).as_uri()}"'):
        assert text in html
    monkeypatch.chdir(run.paths.root)
    assert f'href="runs/{run.record.run_id}/report.html"' in result._repr_html_()
    os.remove(run.paths.page)  # noqa: PTH107  one call
    assert "report" not in result_of(run)._repr_html_()
    assert STORAGE.kind(run.report) == "file"


def test_a_report_that_is_gone_is_an_error_of_the_output(job: Job) -> None:
    run = opened(job)
    with pytest.raises(JobError, match="cannot be read"):
        RunResult.of(run.paths, run.storage, status="done", report=run.report)
