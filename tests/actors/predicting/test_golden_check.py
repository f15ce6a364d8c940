from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from bundles import export_sample
from onnx import numpy_helper

import actors.predicting.golden_check as checking
from actors.engines.configs import OnnxEngineConfig, TorchEngineConfig
from actors.models.bundle_files import Bundle, read_bundle
from actors.models.spec import Model
from actors.predicting.golden_check import golden_breach
from actors.preprocess import Preprocess
from actors.storage.store import Storage

ONNX = OnnxEngineConfig(threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "bundle"
    export_sample(path, "export.formats=[onnx,safetensors]")
    return path


@pytest.fixture
def bundle(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))
    found = read_bundle(str(folder), Storage())
    assert found is not None
    return found


def model_of(bundle: Bundle, name: str) -> Model:
    architecture = bundle.architecture if name == "model.safetensors" else None
    return Model(architecture, checkpoint=f"{bundle.folder}/{name}", preprocess=Preprocess(**bundle.preprocess))


def test_forms_that_were_proven_pass_here_too(bundle: Bundle) -> None:
    assert golden_breach(bundle, "onnx", model_of(bundle, "model.onnx"), ONNX, Storage()) is None
    torch = TorchEngineConfig(threads=1)
    assert golden_breach(bundle, "safetensors", model_of(bundle, "model.safetensors"), torch, Storage()) is None


def test_the_result_is_kept_until_hardware_or_versions_change(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong.onnx"
    proto = onnx.load(f"{bundle.folder}/model.onnx")
    weight = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, weight.name))
    onnx.save(proto, wrong)
    right, disturbed = model_of(bundle, "model.onnx"), replace(model_of(bundle, "model.onnx"), checkpoint=str(wrong))
    assert golden_breach(bundle, "onnx", right, ONNX, Storage()) is None
    assert golden_breach(bundle, "onnx", disturbed, ONNX, Storage()) is None  # taken from the cache
    monkeypatch.setattr(checking, "version", lambda name: f"{name} 99")
    breach = golden_breach(bundle, "onnx", disturbed, ONNX, Storage())
    assert breach is not None
    assert "engine.tolerance." in breach
    assert golden_breach(bundle, "onnx", right, ONNX, Storage()) == breach  # so is a failure


def test_a_form_that_does_not_load_is_a_breach(bundle: Bundle, tmp_path: Path) -> None:
    missing = replace(model_of(bundle, "model.onnx"), checkpoint=str(tmp_path / "missing.onnx"))
    assert "no such file" in str(golden_breach(bundle, "onnx", missing, ONNX, Storage()))
