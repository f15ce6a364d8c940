from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import commanded
import pytest
from detected import DetectedRun, renamed
from places import local_place

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


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
    done = commanded.run("convert", *overrides, folder=tmp_path)
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_a_conversion_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    names = [[f"{shard}-{row}" for row in range(2000)] for shard in range(10)]
    cut = [2000 * shard for shard in range(1, 10)]
    DetectedRun("a", names=names, bad=(), cut=cut).put(local_place(tmp_path / "out"))
    command = [sys.executable, "-m", "jobs.convert", "output.path=out", "to=yolo", "convert.path=yolo"]
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".yolo-*/labels")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 4, said
    assert "stopped before the end; nothing was published" in said
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
