from __future__ import annotations

from pathlib import Path

import commanded
import pytest
from detected import DetectedRun
from places import local_place

CONFIG = "dataset: {kind: images, path: /data}\nmodel: {architecture: 'a:b', labels: null}\ntask: {name: detect}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "status", "said"),
    [
        (["output.path=out"], 0, "/out/runs/b/report.html\n"),
        (["output.path=out", "run.id=a", "report.pictures=0"], 0, "/out/runs/a/report.html\n"),
        (["output.path=out", "run.id=c"], 2, "run.id=c: there is no such run"),
        (["output.path=out", "report.pictures=-1"], 2, "report.pictures=-1: below 0"),
        (["output.path=nowhere"], 2, "there are no runs below it"),
        ([], 2, "output.path: not given"),
        (["--help"], 0, "python -m jobs.report output.path=PATH"),
    ],
)
def test_the_command_as_a_user_meets_it(overrides: list[str], status: int, said: str, tmp_path: Path) -> None:
    for name, opened_at in (("a", "2026-01-02"), ("b", "2026-02-02")):
        run = DetectedRun(name, opened_at=opened_at)
        run.files[f"runs/{name}/config.yaml"] = CONFIG.encode()
        run.put(local_place(tmp_path / "out"))
    done = commanded.run("report", *overrides, folder=tmp_path)
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(tmp_path.rglob("report.html"))) == (status == 0 and "--help" not in overrides)
