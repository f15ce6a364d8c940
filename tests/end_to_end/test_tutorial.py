"""docs/tutorial.md as written: the score in training equals that of the job on the saved checkpoint, of an evaluation
of its run, and of an endpoint that serves it.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from served import serving

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMAND = re.findall(r"python -m jobs\.batch_infer (.*)", PAGE)[0]


def test_training_and_job_and_predictor_agree(
    batch_infer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, names)  # noqa: S102  the page's own
    printed = capsys.readouterr().out
    assert re.findall(r"epoch (\d+)", printed) == ["4", "8", "12"]
    accuracy = names["scores"]["accuracy"]
    assert f"epoch 12: {accuracy:.4f}" in printed
    assert accuracy > 0.9
    assert accuracy == 1 - len(names["wrong"]) / 599 == 1 - names["scores"]["error"]
    with Image.open(io.BytesIO(Path("digits.png").read_bytes())) as sheet:
        assert sheet.size[0] == 8 * 96

    done = batch_infer(*shlex.split(COMMAND))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / done.stdout.splitlines()[-1] / "report.json").read_text())
    assert report["num_labelled"] == 599
    assert report["accuracy_ratio"] == accuracy

    run_id = done.stdout.splitlines()[-1].rpartition("/")[2]
    evaluated = verb("evaluate", "output.path=predictions", f"evaluate.run={run_id}")
    assert evaluated.returncode == 0, evaluated.stderr
    metrics = json.loads((tmp_path / "predictions" / "runs" / run_id / "metrics.json").read_text())
    assert metrics["metrics"]["accuracy"] == accuracy

    with serving(tmp_path, "model=digits", "model.checkpoint=digits.pt", "engine=torch") as served:
        url = served.url
        with ThreadPoolExecutor(8) as pool:
            answers = [*pool.map(lambda row: ask(url, row["image"]["bytes"]), names["rows"])]
        num_right = sum(row["label"] == known["test_label"] for row, known in zip(answers, names["rows"], strict=True))
        assert (len(answers), num_right / 599) == (599, accuracy)
        replayed = [f"run={run_id}", f"url={url}", "output.path=predictions", "replay.images=300"]
        same = verb("replay", *replayed)
        assert same.returncode == 0, same.stderr
        assert same.stdout.splitlines()[-1].endswith("300 drawn = 300 equal + 0 different + 0 not sent")


def verb(name: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"jobs.{name}", *overrides]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def ask(url: str, image: bytes) -> dict[str, Any]:
    request = urllib.request.Request(f"{url}/predict", image, {"Content-Type": "image/png"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        row: dict[str, Any] = json.load(answer)
    return row
