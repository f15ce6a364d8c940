from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from actors.engines.configs import OpenVinoEngineConfig, Precision
from actors.tasks.accuracy import NUM_CORRECT, NUM_LABELLED
from actors.tracking.progress_counts import Pace
from actors.trials.comparison import Trial
from actors.writing.run_paths import RunPaths
from actors.writing.summaries import Summary
from jobs.cli.entry import ExitStatus
from jobs.leases.slices import Slice
from jobs.planning.engine_cache import Choice
from jobs.planning.planner import Plan
from jobs.reporting.execution import Execution
from jobs.reporting.report import Report
from jobs.runs.commit import Outcome
from jobs.runs.coverage import Coverage
from jobs.runs.decode_switch import DecodeSwitch

PATHS = RunPaths("/out", "mabc", "r1")
SUMMARY = Summary(
    num_ok=9,
    num_errors=1,
    decode_s=2.0,
    error_kinds={"decode/truncated": 1},
    error_examples={"decode/truncated": [["/in/7.jpg", "cut off"]]},
    counters={NUM_LABELLED: 8, NUM_CORRECT: 6},
)
TRIALS = [
    Trial("torch fp32", 27.5),
    Trial("openvino fp32", 46.0, {"score_difference": 1.5e-5}),
    Trial("torch bf16", 3.0, {"score_difference": 0.25}, ["the best class of image 17 differs"]),
]
CHOICE = Choice(OpenVinoEngineConfig(precision=Precision.fp32), "the fastest of 3", TRIALS, 256)
PLAN = Plan(
    is_fused=True, workers=2, worker_cpus=0.99, worker_gpus=0, read_cpus=0, writers=2, batch_size=32, piece_rows=96,
    rows_per_part=100, block_bytes=4, threads=1,
)  # fmt: skip
EXECUTION = Execution(PLAN, CHOICE, {"engine": "openvino"}, Pace(8, 2.0), 2.0)


def outcome(num_listed: int, summary: Summary) -> Outcome:
    coverage = Coverage(np.array([num_listed], np.int32))
    if summary.num_images:
        coverage.take({0: [(0, summary.num_images)]})
    return Outcome([], [], [], coverage, summary)


NOTHING = outcome(10, Summary())
REPORT = Report(PATHS, ExitStatus.DONE, outcome(10, SUMMARY), NOTHING, EXECUTION, {"check": 1.0, "run": 4.0})


def test_json_has_the_figures() -> None:
    content = json.loads(json.dumps(REPORT.to_json()))
    assert content["num_listed"] == content["num_ok"] + content["num_errors"] == 10
    assert content["images_per_s"] == 2.5
    assert content["accuracy_ratio"] == 0.75
    assert (content["num_labelled"], content["num_correct"]) == (8, 6)
    assert content["elapsed_s"]["total"] == 5.0
    assert content["execution"]["plan"]["batch_size"] == 32
    assert content["execution"]["choice"]["engine"]["name"] == "openvino"
    assert content["execution"]["choice"]["trials"][1]["images_per_s"] == 46
    assert content["execution"]["pace"] == {"num_images": 8, "seconds": 2.0, "images_per_s": 4.0}
    assert content["verdict"]["limit_images_per_s"] == 10
    assert content["verdict"]["share_of_limit"] == 0.4
    assert content["status"] == "done"


def test_files_that_the_listing_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    passed_over = {"hidden": {"count": 7, "examples": ["/in/.a"]}}
    report = replace(REPORT, passed_over=passed_over)
    assert report.to_json()["passed_over"] == passed_over
    report.show()
    assert "not listed 7 hidden (/in/.a, ...)" in capsys.readouterr().out
    replace(REPORT, passed_over={"companion": {"count": 1, "examples": ["x.tar#a.json"]}}).show()
    assert "not listed" not in capsys.readouterr().out


def test_the_check_of_gpu_decoding_is_shown_only_where_the_gpu_decoded(capsys: pytest.CaptureFixture[str]) -> None:
    REPORT.show()
    assert not re.search("^(checked|decoding)", capsys.readouterr().out, re.MULTILINE)
    switch = DecodeSwitch(Slice(1, 2), "shard 3: /in/6.jpg: black", 1200, "1, 3")
    checked = replace(SUMMARY, num_gpu_flat=1, num_gpu_drawn=7)
    report = replace(REPORT, outcome=outcome(10, checked), switches=[switch])
    report.show()
    printed = capsys.readouterr().out
    assert (
        "checked    images decoded on the GPU that match the CPU: 1 of one colour, 7 from a sample of 1 in 1,000\n"
        in printed
    )
    switched = "switched from GPU to CPU: shard 3: /in/6.jpg: black; redoing 1,200 images of shards 1, 3"
    assert f"decoding   {switched}\n" in printed
    content = json.loads(json.dumps(report.to_json()))
    assert (content["num_gpu_flat"], content["num_gpu_drawn"]) == (1, 7)
    assert content["decode_switches"][0]["part"] == {"index": 1, "count": 2}


def test_a_run_without_images() -> None:
    report = Report(PATHS, ExitStatus.DONE, outcome(0, Summary()), outcome(0, Summary()), None, {})
    assert report.images_per_s == 0
    assert report.accuracy_ratio is None
    assert report.to_json()["execution"] is None
    assert report.to_json()["verdict"] is None


def test_the_table_shows_counts_speed_accuracy_and_location(capsys: pytest.CaptureFixture[str]) -> None:
    REPORT.show()
    printed = capsys.readouterr().out
    for figure in ("10 listed = 9 ok + 1 errors\n", "2.5 images/s", "75.00% (6 of 8", PATHS.rows):
        assert figure in printed
    assert "1 decode/truncated, such as /in/7.jpg: cut off" in printed
    assert "2.5 images/s over 4.0 s, 4.0 from the first batch to the last\n" in printed
    assert "verdict    bound by start-up (reading 0%, decoding 100%, the model 0%)" in printed
    assert "to gain    many more images in one job (start-up took 60% of this one): 2.0 times as fast\n" in printed
    assert "price" not in printed


def test_the_price_is_for_a_million_images(capsys: pytest.CaptureFixture[str]) -> None:
    replace(REPORT, price_per_hour=7.2, currency="EUR").show()
    price = "500.00 EUR for a million images like these, and 0.01 EUR once for start-up and end"
    assert f"price      {price}\n" in capsys.readouterr().out
    hasty = replace(EXECUTION, pace=Pace(0, 0.0))
    replace(REPORT, price_per_hour=7.2, execution=hasty).show()
    assert "price      1,000.00 for a million images like these\n" in capsys.readouterr().out


def test_the_closing_line_names_and_counts_the_run() -> None:
    origin = {"model": "timm:resnet18", "output": "/out", "inventory_digest": "ab", "started_at": "2026-01-02T03:04:05"}
    report = replace(REPORT, origin=origin)
    assert report.closing() == origin | {
        "fingerprint": "mabc", "status": "done", "num_listed": 10, "num_ok": 9, "num_errors": 1, "images_per_s": 2.5,
        "elapsed_s": 5.0,
    }  # fmt: skip


def test_a_resumed_run_that_stops_shows_earlier_and_remaining_images(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, after = outcome(20, Summary(num_ok=4)), outcome(20, SUMMARY)
    report = Report(PATHS, ExitStatus.STOPPED, after, before, EXECUTION, {"run": 3.0})
    report.show()
    assert "20 listed = 9 ok + 1 errors + 10 still to do (4 of them done before)" in capsys.readouterr().out
    assert report.images_per_s == 2
    assert (report.to_json()["num_listed"], report.to_json()["num_done_before"]) == (20, 4)


def test_the_table_shows_the_engine_and_every_trial(capsys: pytest.CaptureFixture[str]) -> None:
    REPORT.show()
    printed = capsys.readouterr().out
    assert "engine     openvino fp32: the fastest of 3\n" in printed
    assert "torch fp32 27.5 images/s\n" in printed
    assert "openvino fp32 46.0 images/s, score difference 1.5e-05\n" in printed
    assert "torch bf16 3.0 images/s, score difference 0.25, refused: the best class of image 17 differs\n" in printed
