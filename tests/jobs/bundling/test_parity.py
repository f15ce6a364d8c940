from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from digit_images import DIGITS, digit_pixels, encoded

from actors.engines.configs import TorchEngineConfig
from actors.engines.tolerance import EXACT
from actors.exporting.postprocess import Postprocess
from actors.tasks.base import Task
from actors.tasks.classify import Classify
from actors.tasks.embed import Embed
from actors.tasks.raw import Raw
from jobs.bundling.forms import FormPlan, write_form
from jobs.bundling.images import RealImages
from jobs.bundling.parity import Proof, answer, described

IMAGES = RealImages(encoded()[:24], [f"{number}.png" for number in range(24)], digit_pixels(24))
MODEL = replace(DIGITS)


@pytest.fixture(scope="module")
def proof() -> Proof:
    return Proof(IMAGES, answer(MODEL, TorchEngineConfig(threads=1), IMAGES), Classify(), Postprocess(), EXACT)


@pytest.mark.parametrize("task", [Classify(), Embed(), Raw()])
def test_a_good_form_passes_by_the_measure_of_any_task(task: Task, proof: Proof, tmp_path: Path) -> None:
    form = write_form("onnx", MODEL, tmp_path, FormPlan(), {})
    row = replace(proof, task=task).of(form, MODEL, tmp_path)
    assert (row.form, row.precision, row.engine, row.images, row.passed) == ("onnx", "fp32", "onnxruntime", 24, True)
    assert 0 < row.mean_difference <= row.largest_difference < 1e-3
    assert row.flips == (0 if task.name == "classify" else None)
    assert row.images_per_s > 0
    assert row.outputs == [{"name": "output", "dtype": "float32", "shape": [None, 10]}]
    assert row.to_json()["passed"] is True


@pytest.mark.parametrize("kind", ["softmax", "topk"])
def test_scores_inside_are_compared_with_scores(kind: str, proof: Proof, tmp_path: Path) -> None:
    steps = Postprocess(kind, "output", top_k=3)
    form = write_form("onnx", MODEL, tmp_path, FormPlan(postprocess=steps), {})
    assert replace(proof, steps=steps).of(form, MODEL, tmp_path).breaches == []
    other = Postprocess(kind, "output", top_k=3, sigmoid=True)
    assert replace(proof, steps=other).of(form, MODEL, tmp_path).breaches


def test_a_wrong_form_names_the_image_and_the_limit(proof: Proof, tmp_path: Path) -> None:
    wrong = replace(MODEL, preprocess=replace(MODEL.preprocess, mean=[0.2, 0.5, 0.8]))
    form = write_form("onnx", wrong, tmp_path, FormPlan(), {})
    row = proof.of(form, MODEL, tmp_path)
    assert not row.passed
    assert ".png" in row.breaches[0]
    assert "engine.tolerance." in row.breaches[0]


def test_a_form_that_does_not_load_fails(proof: Proof, tmp_path: Path) -> None:
    form = write_form("onnx", MODEL, tmp_path, FormPlan(), {})
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    row = proof.of(form, MODEL, tmp_path)
    assert (row.passed, row.largest_difference, row.images_per_s) == (False, None, None)


def test_outputs_are_described_without_their_number_of_images() -> None:
    assert described({"x": np.zeros((3, 2), np.int64)}) == [{"name": "x", "dtype": "int64", "shape": [None, 2]}]
