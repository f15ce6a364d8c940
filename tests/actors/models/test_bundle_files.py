from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from actors.errors import JobError
from actors.models.bundle_files import RECORD, Bundle, FileDigest, FormRecord, check_files, read_bundle
from actors.storage.store import Storage

DATA = b"weights of the model"


def write_bundle(folder: Path, name: str = "model.onnx") -> None:
    digest = FileDigest(hashlib.sha256(DATA).hexdigest(), len(DATA))
    form = FormRecord({name: digest}, "fp32", "none", normalises=True, inputs=[], outputs=[])
    bundle = Bundle("", {"onnx": form}, None, {}, {}, None, {"name": "raw"}, {}, "mabc", {"labels.txt": digest})
    (folder / RECORD).write_text(json.dumps(bundle.to_json()))
    (folder / "model.onnx").write_bytes(DATA)
    (folder / "labels.txt").write_bytes(DATA)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    bundle = read_bundle(str(tmp_path), Storage())
    assert bundle is not None
    assert (bundle.fingerprint, bundle.task, bundle.forms["onnx"].precision) == ("mabc", {"name": "raw"}, "fp32")
    assert bundle.digest == hashlib.sha256((tmp_path / RECORD).read_bytes()).hexdigest()
    check_files(bundle, Storage())


@pytest.mark.parametrize("name", ["model.onnx", "labels.txt"])
def test_a_file_that_changed_by_one_byte_is_refused(name: str, tmp_path: Path) -> None:
    write_bundle(tmp_path)
    bundle = read_bundle(str(tmp_path), Storage())
    assert bundle is not None
    (tmp_path / name).write_bytes(DATA[:-1] + b"L")
    with pytest.raises(JobError, match=rf"model\.source=.*: {name} is not the file that was exported"):
        check_files(bundle, Storage())
    (tmp_path / name).unlink()
    with pytest.raises(JobError, match=rf"{name}: no such file"):
        check_files(bundle, Storage())


def test_other_folders_are_no_bundles(tmp_path: Path) -> None:
    assert read_bundle(str(tmp_path), Storage()) is None
    assert read_bundle(str(tmp_path / "missing"), Storage()) is None
    (tmp_path / RECORD).write_text('{"format": "another tool"}')
    assert read_bundle(str(tmp_path), Storage()) is None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:-20], "bundle.json is damaged"),
        (lambda text: text.replace('"version": 1', '"version": 7'), "a bundle of version 7"),
        (lambda text: text.replace('"onnx"', '"dll"'), "unknown form dll"),
        (lambda text: text.replace("model.onnx", "../model.onnx"), "files outside of it"),
        (lambda text: text.replace('"fingerprint"', '"fingers"'), "damaged"),
        (lambda _: '["a"]', "damaged"),
    ],
)
def test_a_damaged_record_is_told(damage: object, said: str, tmp_path: Path) -> None:
    write_bundle(tmp_path)
    (tmp_path / RECORD).write_text(damage((tmp_path / RECORD).read_text()))  # type: ignore[operator]
    with pytest.raises(JobError, match=said):
        read_bundle(str(tmp_path), Storage())
