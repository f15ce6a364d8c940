from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from digit_images import DIGITS, encoded
from places import Place

from actors.errors import JobError
from actors.models.bundle_files import Bundle, read_bundle
from actors.models.sources import model_from
from actors.models.sources.base import Source
from actors.models.sources.bundle_source import bundle_record, default_form, is_library, record_of
from actors.predictor import Predictor
from actors.storage.store import Storage


@pytest.fixture
def folder(digits_bundle: Path) -> Path:
    return digits_bundle


@pytest.fixture
def bundle(folder: Path) -> Bundle:
    found = read_bundle(str(folder), Storage())
    assert found is not None
    return found


def test_python_callers_need_nothing_else(folder: Path) -> None:
    model = model_from(str(folder))
    assert (model.checkpoint, model.architecture) == (str(folder / "model.onnx"), None)
    assert model.preprocess == DIGITS.preprocess.for_pixels()
    given, wanted = Predictor(model).predict(encoded()[:8]), Predictor(DIGITS).predict(encoded()[:8])
    assert given["label_id"].equals(wanted["label_id"])
    np.testing.assert_allclose(given["score"], wanted["score"], atol=1e-5)
    assert given["label"][0].as_py() in (folder / "labels.txt").read_text().split()


def test_other_sources_have_no_record(folder: Path, tmp_path: Path) -> None:
    assert bundle_record(Source(str(folder))) is not None
    assert bundle_record(Source(str(tmp_path))) is None
    assert bundle_record(Source("timm:resnet18")) is None


def test_a_bundle_whose_weights_changed_by_one_byte_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"  # although another form would run
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    try:
        with pytest.raises(JobError, match=r"model\.source=.*model\.safetensors is not the file that was exported"):
            model_from(str(folder))
    finally:
        path.write_bytes(data)


def test_a_file_never_names_code_of_the_user(bundle: Bundle) -> None:
    source = Source(bundle.folder)
    assert record_of(bundle, "safetensors", source).architecture is None
    evil = replace(bundle, architecture="os:system", kwargs={"command": "touch x"})
    assert (record_of(evil, "safetensors", source).architecture, record_of(evil, "safetensors", source).kwargs) == (
        None,
        {},
    )
    kwargs = {"num_classes": 3, "pretrained": True, "checkpoint_path": "/etc/passwd"}
    known = record_of(replace(bundle, architecture="timm:resnet18", kwargs=kwargs), "safetensors", source)
    assert (known.architecture, known.kwargs) == ("timm:resnet18", {"num_classes": 3})
    assert [is_library(name) for name in ("torchvision:resnet18", "timmy:x", None)] == [True, False, False]


def test_a_graph_is_the_default(bundle: Bundle) -> None:
    assert default_form(bundle) == "onnx"
    assert default_form(replace(bundle, forms={"safetensors": bundle.forms["safetensors"]})) == "safetensors"


def test_a_bundle_in_any_store(folder: Path, place: Place) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            place.put(path.relative_to(folder).as_posix(), path.read_bytes())
    model = model_from(place.root, storage_options=place.options)
    assert model.checkpoint == f"{place.root}/model.onnx"
    given, wanted = Predictor(model).predict(encoded()[:8]), Predictor(DIGITS).predict(encoded()[:8])
    assert given["label_id"].equals(wanted["label_id"])
