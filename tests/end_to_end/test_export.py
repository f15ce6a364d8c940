"""A model exported by one command and run by another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
from digit_images import DIGITS, encoded

from actors.predictor import Predictor

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_bundle_needs_nothing_else_and_predicts_as_the_model_does(batch_infer: Command, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.export", "+dataset=sample", "export.path=digits", "export.images=16"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "digits")
    run = batch_infer("+dataset=sample", "model.source=digits", "dataset.limit=200", "output.path=out")
    assert run.returncode == 0, run.stderr
    assert f"model.source={tmp_path / 'digits'}: form onnx, fp32" in run.stderr
    rows = ds.dataset(tmp_path / "out" / "rows", partitioning="hive").to_table().sort_by("image_id")
    wanted = Predictor(DIGITS).predict(encoded()[:200])
    by_image = dict(zip(rows["image_id"].to_pylist(), rows["score"].to_pylist(), strict=True))
    assert len(by_image) == 200
    assert sorted(rows["label"].to_pylist()) == sorted(wanted["label"].to_pylist())
    np.testing.assert_allclose(sorted(by_image.values()), sorted(wanted["score"].to_pylist()), atol=1e-5)
