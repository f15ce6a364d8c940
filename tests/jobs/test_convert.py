from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from detected import DetectedRun, renamed
from places import local_place

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "status", "said"),
    [
        (["output.path=out", "to=csv", "convert.path=csv"], 0, "/csv: 14 rows read = 7 written + 7 left out (7 sup"),
        (["output.path=out", "to=csv", "convert.path=csv", "convert.run=a"], 0, "7 rows read = 7 written + 0 left out"),
        (["output.path=out", "to=voc", "convert.path=voc"], 2, "to=voc: there is no such format"),
        (["output.path=two", "to=csv", "convert.path=csv"], 2, "has the rows of 2 models"),
        (["output.path=nowhere", "to=csv", "convert.path=csv"], 2, "there are no runs below it"),
        (["output.path=out", "to=csv"], 2, "convert.path: not given"),
        (["--help"], 0, "python -m jobs.convert output.path=PATH to=FORMAT convert.path=DIR"),
    ],
)
def test_the_command_as_a_user_meets_it(overrides: list[str], status: int, said: str, tmp_path: Path) -> None:
    DetectedRun("a").put(local_place(tmp_path / "out"))
    DetectedRun("b", opened_at="2026-02-02").put(local_place(tmp_path / "out"))
    DetectedRun("a").put(local_place(tmp_path / "two"))
    renamed(DetectedRun("b"), "mother").put(local_place(tmp_path / "two"))
    command = [sys.executable, "-m", "jobs.convert", *overrides]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob(".*"))
