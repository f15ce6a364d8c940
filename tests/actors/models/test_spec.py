from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from actors.errors import JobError
from actors.models.fingerprint import weights_digest
from actors.models.labels import read_labels
from actors.models.spec import Model
from actors.preprocess import Preprocess

if TYPE_CHECKING:
    from pathlib import Path

    from places import Place


def test_the_recipe_costs_no_torch_and_no_onnx() -> None:
    code = "import sys, actors.models.spec; sys.exit(bool({'torch', 'onnx', 'onnxruntime'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_sound_recipe_passes_and_travels(model: Model) -> None:
    model.check()
    assert pickle.loads(pickle.dumps(model)) == model  # noqa: S301  our own bytes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint": ""}, r"model\.checkpoint is not given"),
        ({"checkpoint": "no/such.pt"}, r"model\.checkpoint=no/such\.pt: no such file"),
        ({"checkpoint": "nul\0.pt"}, r"no such file"),
        ({"checkpoint": "weights.pt2"}, r"model\.checkpoint=weights\.pt2: a \.pt2 archive can hold code"),
        ({"checkpoint": "weights.pt2", "sha256": "0" * 64}, r"weights\.pt2: holds its own network, yet model\.arch"),
        ({"sha256": "abc"}, r"model\.sha256=abc: not the 64 hexadecimal digits"),
        ({"checkpoint": "weights.h5"}, r"weights\.h5: unknown format\n.*\.safetensors.*\.onnx"),
        ({"checkpoint": "weights"}, "unknown format"),
        ({"checkpoint": "weights.onnx"}, r"holds its own network, yet model\.architecture=networks:tiny"),
        ({"checkpoint": "w.onnx", "architecture": None, "ema": True}, r"model\.ema=True\n.*model\.ema=false"),
        ({"checkpoint": "w.onnx", "architecture": None, "kwargs": {"a": 1}}, r"model\.kwargs=\{'a': 1\}"),
        ({"architecture": None}, r"model\.architecture is not given, and model\.checkpoint=.* contains only weights"),
        ({"architecture": "tiny"}, r"model\.architecture=tiny: names no module"),
        ({"preprocess": Preprocess(mean=[0.5])}, r"model\.preprocess\.mean=\[0\.5\]"),
        ({"labels": 1000}, r"model\.labels=1000: neither a path nor a list"),
        ({"labels": "no/such.txt"}, r"model\.labels=no/such\.txt: no such file"),
        ({"labels": "."}, r"model\.labels=\.: cannot be read"),
    ],
)
def test_a_wrong_recipe_is_reported_by_its_key(model: Model, change: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        replace(model, **change).check()


def test_a_folder_is_not_a_checkpoint(model: Model, tmp_path: Path) -> None:
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(JobError, match=r"folder\.pt: is a folder"):
        replace(model, checkpoint=str(tmp_path / "folder.pt")).check()


@pytest.mark.parametrize("name", ["a.pt", "a.PTH", "a.bin", "a.ckpt", "a.pth.tar", "a.safetensors"])
def test_state_dicts_are_known_by_their_suffix(model: Model, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    replace(model, checkpoint=str(tmp_path / name)).check()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"cat\n\ndog\n", "entry 2 is '', not a name"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8 text"),
    ],
)
def test_a_file_that_holds_no_labels_is_refused(model: Model, tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "labels").write_bytes(data)
    with pytest.raises(JobError, match=rf"model\.labels=.*labels: {message}"):
        replace(model, labels=str(tmp_path / "labels")).check()


@pytest.mark.parametrize("label", [True, None, 1.5, "", " ", ["cat"]])
def test_a_name_that_yaml_converted_is_reported(model: Model, label: object) -> None:
    with pytest.raises(JobError, match=r"model\.labels: entry 2 is .*\n.*quote yes, no"):
        replace(model, labels=["cat", label]).check()


def test_checkpoint_and_labels_come_from_any_store(model: Model, place: Place, tmp_path: Path) -> None:
    weights = place.put("models/a b#1.pt", (tmp_path / "tiny.pt").read_bytes())
    labels = place.put("models/labels.txt", b"cat\ndog\n")
    remote = replace(model, checkpoint=weights, labels=labels, storage_options=place.options)
    remote.check()
    assert read_labels(remote) == ["cat", "dog"]
    assert weights_digest(remote) == weights_digest(model)
    with pytest.raises(JobError, match=r"nowhere\.pt: no such file"):
        replace(remote, checkpoint=f"{place.root}/nowhere.pt").check()
