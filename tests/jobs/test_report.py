from __future__ import annotations

import json
import time

import pytest

from actors.run_paths import RunPaths
from actors.summaries import Summary
from jobs.command import ExitStatus
from jobs.execution import Execution
from jobs.planner import Plan
from jobs.report import Clock, Report

PATHS = RunPaths("/out", "mabc", "r1")
SUMMARY = Summary(
    num_ok=9, num_errors=1, num_labelled=8, num_correct=6, decode_s=2.0, error_kinds={"decode/truncated": 1}
)
EXECUTION = Execution(Plan(1, 1.0, 0, 1.0, 32, 100, 4, 2), {"name": "torch"})
REPORT = Report(PATHS, ExitStatus.DONE, SUMMARY, EXECUTION, {"check": 1.0, "run": 4.0})


def test_json_has_the_figures() -> None:
    content = json.loads(json.dumps(REPORT.to_json()))
    assert content["num_listed"] == content["num_ok"] + content["num_errors"] == 10
    assert content["images_per_s"] == 2.5
    assert content["accuracy_ratio"] == 0.75
    assert content["elapsed_s"]["total"] == 5.0
    assert content["execution"]["plan"]["batch_size"] == 32
    assert content["status"] == "done"


def test_a_run_of_nothing() -> None:
    report = Report(PATHS, ExitStatus.DONE, Summary(), None, {})
    assert report.images_per_s == 0
    assert report.accuracy_ratio is None
    assert report.to_json()["execution"] is None


def test_the_table_says_how_many_how_fast_how_accurate_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    REPORT.show()
    printed = capsys.readouterr().out
    for figure in ("10 listed = 9 ok + 1 errors", "2.5 images/s", "75.00% (6 of 8", "decode/truncated 1", PATHS.rows):
        assert figure in printed


def test_laps_add_up_to_the_time_that_passed() -> None:
    clock, started = Clock(), time.monotonic()
    clock.lap("one")
    clock.lap("two")
    assert list(clock.seconds) == ["one", "two"]
    assert sum(clock.seconds.values()) <= time.monotonic() - started + 0.002
