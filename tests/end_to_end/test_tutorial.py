"""docs/tutorial.md as it stands: the score in training is that of the job on the saved checkpoint."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

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
