"""A model evaluated on labelled images: the same number from every way of computing it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from actors.fault_injection import VARIABLE

FIXTURES = Path(__file__).parent.parent / "fixtures"

SAMPLE = ("+dataset=sample", "output.path=out", "run.shard_size=100", "batch_size=50", "output.rows_per_part=100")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(FIXTURES)}


def evaluate(cluster: str, *overrides: str) -> Sequence[str]:
    return [sys.executable, "-m", "jobs.evaluate", f"cluster.address={cluster}", *overrides]


def test_a_killed_evaluation_resumes_and_gives_the_scores_of_one_that_was_not(cluster: str, tmp_path: Path) -> None:
    whole = subprocess.run(
        evaluate(cluster, *SAMPLE, "run.id=whole", "evaluate.fail_under.top1=0.999"),
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert whole.returncode == 3, whole.stderr
    assert "evaluate.fail_under.top1=0.999: top1 is 0.988" in whole.stderr
    report = json.loads((tmp_path / "out/runs/whole/report.json").read_text())
    document = json.loads((tmp_path / "out/runs/whole/metrics.json").read_text())
    assert report["metrics"] == document["metrics"]
    assert report["accuracy_ratio"] == document["metrics"]["accuracy"]
    assert report["num_labelled"] == document["num_labelled"] == 599
    faults = environment() | {VARIABLE: f"write.done:3:mark:{tmp_path}"}
    with subprocess.Popen(
        evaluate(cluster, *SAMPLE, "run.id=killed"), cwd=tmp_path, env=faults, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as killed:  # fmt: skip
        deadline = time.monotonic() + 120
        while not (tmp_path / "write.done.3").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        killed.kill()
    assert not (tmp_path / "out/runs/killed/metrics.json").exists()
    again = subprocess.run(
        evaluate(cluster, *SAMPLE, "run.id=killed", "evaluate.results_file=results.csv"),
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "done before" in again.stderr
    resumed = json.loads((tmp_path / "out/runs/killed/metrics.json").read_text())
    assert resumed == {**document, "run_id": "killed"}
    assert (tmp_path / "results.csv").read_text().splitlines()[1].split(",")[1] == "98.8314"
