from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest

from actors.exporting.golden import NUM_GOLDEN, read_golden
from actors.models.bundle_files import Bundle, check_files, read_bundle
from actors.storage.store import Storage


@pytest.fixture
def folder(digits_bundle: Path) -> Path:
    return digits_bundle


@pytest.fixture
def bundle(folder: Path) -> Bundle:
    found = read_bundle(str(folder), Storage())
    assert found is not None
    return found


def test_the_record_says_what_is_in_every_file(folder: Path, bundle: Bundle) -> None:
    check_files(bundle, Storage())
    named = {*bundle.files, *(name for form in bundle.forms.values() for name in form.files)}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there - named == {"bundle.json", "README.md"}
    size = bundle.forms["onnx"].files["model.onnx"]
    assert size.bytes == (folder / "model.onnx").stat().st_size
    assert size.sha256 == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()


def test_it_describes_model_task_and_forms(bundle: Bundle) -> None:
    assert (bundle.architecture, bundle.kwargs) == ("actors.sample.network:Net", {})
    assert bundle.preprocess["mean"] == [0.5, 0.5, 0.5]
    assert (bundle.task["name"], bundle.labels) == ("classify", "labels.txt")
    assert bundle.tolerance["score_difference"] == 1e-3
    assert bundle.forms["onnx"].inputs == [{"name": "pixels_nhwc", "dtype": "uint8", "shape": [None, 32, 32, 3]}]
    assert bundle.forms["safetensors"].inputs[0]["shape"] == [None, 3, 32, 32]
    assert {"python", "torch", "shardlens"} <= bundle.versions.keys()
    assert bundle.hardware["cpu"]


def test_graphs_carry_task_labels_and_pre_processing(folder: Path, bundle: Bundle) -> None:
    inside = {entry.key: entry.value for entry in onnx.load(folder / "model.onnx").metadata_props}
    assert json.loads(inside["task"]) == bundle.task
    assert json.loads(inside["preprocess"]) == bundle.preprocess
    assert json.loads(inside["labels"]) == (folder / "labels.txt").read_text().split()
    assert inside["fingerprint"] == bundle.fingerprint


def test_golden_images_and_their_outputs(folder: Path) -> None:
    golden = read_golden(str(folder), Storage())
    assert len(golden.images) == NUM_GOLDEN
    assert all(image.startswith(b"\x89PNG") for image in golden.images)
    assert golden.outputs["output"].shape == (NUM_GOLDEN, 10)
    assert np.isfinite(golden.outputs["output"]).all()
    assert pq.read_metadata(folder / "golden" / "inputs.parquet").num_rows == NUM_GOLDEN


def test_the_table_and_the_card_show_each_form(folder: Path) -> None:
    parity = json.loads((folder / "parity.json").read_text())
    assert [(row["form"], row["images"], row["passed"]) for row in parity] == [
        ("onnx", 24, True),
        ("safetensors", 24, True),
    ]
    card = (folder / "README.md").read_text()
    assert card.startswith("---\npipeline_tag: image-classification\n")
    assert "# digits" in card
