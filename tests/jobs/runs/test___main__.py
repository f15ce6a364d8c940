from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from detected import DetectedRun
from places import local_place

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "COLUMNS": "80"}


@pytest.mark.slow
def test_the_command_as_a_user_meets_it(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    run = DetectedRun("20261128-031502-a1b2")
    run.files["runs/20261128-031502-a1b2/config.yaml"] = (
        b"model:\n  source: timm:resnet18\ndataset:\n  kind: images\n  path: '/data/[bold]\\e[31m'\n"
    )
    run.put(place)

    def listed(*overrides: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jobs.runs", *overrides]
        return subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    table = listed("output.path=out")
    assert table.returncode == 0, table.stderr
    for text in ("20261128-031502-a1b2", "resnet18", "[bold]", "published", "m0123456789abcde", "2026-01-02 03:04"):
        assert text in table.stdout
    assert max(map(len, table.stdout.splitlines())) <= 80
    (line,) = listed("output.path=out", "runs.format=json").stdout.splitlines()
    assert json.loads(line).items() >= {"model": "resnet18", "num_ok": 7, "num_errors": 1}.items()
    wrong = listed("output.path=nowhere")
    assert (wrong.returncode, "there are no runs below it" in wrong.stderr) == (2, True)
