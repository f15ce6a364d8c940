from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from bundles import export_sample, tampered
from onnx import numpy_helper

import actors.predicting.golden_check as checking
from actors.engines.base import load_engine
from actors.engines.configs import EngineConfig, OnnxEngineConfig, Precision, TorchEngineConfig
from actors.engines.tolerance import EXACT
from actors.errors import JobError
from actors.models.bundle_files import Bundle, read_bundle
from actors.models.sources import model_from
from actors.models.spec import Model
from actors.predicting.golden_check import Run, golden_breach
from actors.predictor import Predictor
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


def breach_of(bundle: Bundle, form: str, model: Model, config: EngineConfig = ONNX) -> str | None:
    run = Run(config.name, "cpu", "fp32", lambda: load_engine(config, model))
    return golden_breach(bundle, form, run, Storage())


def test_forms_that_were_proven_pass_here_too(bundle: Bundle) -> None:
    assert breach_of(bundle, "onnx", model_of(bundle, "model.onnx")) is None
    torch = TorchEngineConfig(threads=1)
    assert breach_of(bundle, "safetensors", model_of(bundle, "model.safetensors"), torch) is None


def test_the_result_is_kept_until_hardware_or_versions_change(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong.onnx"
    proto = onnx.load(f"{bundle.folder}/model.onnx")
    weight = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, weight.name))
    onnx.save(proto, wrong)
    right, disturbed = model_of(bundle, "model.onnx"), replace(model_of(bundle, "model.onnx"), checkpoint=str(wrong))
    assert breach_of(bundle, "onnx", right) is None
    assert breach_of(bundle, "onnx", disturbed) is None  # taken from the cache
    monkeypatch.setattr(checking, "version", lambda name: f"{name} 99")
    breach = breach_of(bundle, "onnx", disturbed)
    assert breach is not None
    assert "engine.tolerance." in breach
    assert breach_of(bundle, "onnx", right) == breach  # so are failures


def test_a_form_that_does_not_load_is_a_breach(bundle: Bundle, tmp_path: Path) -> None:
    missing = replace(model_of(bundle, "model.onnx"), checkpoint=str(tmp_path / "missing.onnx"))
    assert "no such file" in str(breach_of(bundle, "onnx", missing))


def test_python_callers_and_workers_get_no_form_that_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))
    Predictor(model_from(str(folder)))
    copy = tampered(folder, tmp_path / "copy", "model.onnx")
    with pytest.raises(JobError, match=r"model\.source=.*its form onnx does not give the right answers") as caught:
        Predictor(model_from(str(copy)))
    assert "onnxruntime fp32 on cpu" in caught.value.problem


def test_an_engine_in_another_precision_is_held_to_its_own_tolerance(bundle: Bundle) -> None:
    model = replace(model_of(bundle, "model.safetensors"), source=bundle.folder)
    config = TorchEngineConfig(threads=1, precision=Precision.bf16)
    Predictor(model, engine=config)  # not exact to fp32
    with pytest.raises(JobError, match="torch bf16 on cpu"):
        Predictor(model, engine=replace(config, tolerance=EXACT))
