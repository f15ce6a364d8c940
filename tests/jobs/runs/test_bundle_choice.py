from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import export_sample, tampered
from digit_images import DIGITS, encoded

from actors.engines.configs import (
    AutoEngineConfig,
    Device,
    EngineConfig,
    OnnxEngineConfig,
    OpenVinoEngineConfig,
    Precision,
    TorchEngineConfig,
)
from actors.errors import JobError
from actors.models.bundle_files import read_bundle
from actors.models.sources import model_from
from actors.models.spec import Model
from actors.predictor import Predictor
from actors.recipe import Recipe
from actors.storage.store import Storage
from actors.tasks.classify import Classify
from actors.tasks.raw import Raw
from actors.tasks.scores import Activation
from jobs.datasets.images import ImagesDataset
from jobs.job import Job
from jobs.runs.bundle_choice import with_form

ARCHITECTURE = "actors.sample.network:Net"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("choice") / "bundle"
    export_sample(path, "export.formats=[onnx,openvino,pt2,safetensors]")
    return path


def job_of(folder: Path, engine: EngineConfig, **given: object) -> Job:
    model = model_from(str(folder), **given)
    return Job(dataset=ImagesDataset(path="x"), model=model, engine=engine, task=Classify())


@pytest.mark.parametrize(
    ("engine", "given", "chosen"),
    [
        (AutoEngineConfig(), {}, "model.onnx"),
        (OnnxEngineConfig(), {}, "model.onnx"),
        (OpenVinoEngineConfig(), {}, "openvino/model.xml"),
        (OpenVinoEngineConfig(), {"form": "onnx"}, "model.onnx"),
        (TorchEngineConfig(), {"architecture": ARCHITECTURE}, "model.safetensors"),
        (AutoEngineConfig(), {"architecture": ARCHITECTURE}, "model.safetensors"),
        (OpenVinoEngineConfig(), {"architecture": ARCHITECTURE, "form": "safetensors"}, "model.safetensors"),
    ],
)
def test_the_form_follows_the_engine(folder: Path, engine: EngineConfig, given: dict[str, object], chosen: str) -> None:
    model = with_form(job_of(folder, engine, **given)).model
    assert model.checkpoint == str(folder / chosen)
    assert model.architecture == (ARCHITECTURE if chosen == "model.safetensors" else None)


def test_a_pin_on_the_record_vouches_for_the_code_that_it_names(folder: Path) -> None:
    bundle = read_bundle(str(folder), Storage())
    assert bundle is not None
    job = job_of(folder, TorchEngineConfig())
    for form, name in (("auto", "model.safetensors"), ("pt2", "model.pt2")):
        with pytest.raises(JobError, match="runs code that the bundle names") as caught:
            with_form(replace(job, model=replace(job.model, form=form)))
        assert f"model.sha256={bundle.digest}" in caught.value.fix
        pinned = with_form(replace(job, model=replace(job.model, form=form, sha256=bundle.digest))).model
        assert pinned.checkpoint == str(folder / name)
        pinned.check()
    with pytest.raises(JobError, match=r"model\.sha256=0{64}: .* has a bundle\.json"):
        with_form(replace(job, model=replace(job.model, sha256="0" * 64)))


@pytest.mark.parametrize(
    ("engine", "given", "said"),
    [
        (OnnxEngineConfig(), {"form": "pt2"}, r"model\.form=pt2: engine=onnxruntime does not run it"),
        (AutoEngineConfig(), {"form": "tflite"}, r"model\.form=tflite: there is no such form"),
        (OnnxEngineConfig(), {"preprocess": {"mean": [0.1, 0.1, 0.1]}}, r"model\.preprocess\.mean: .* inside"),
    ],
)
def test_what_does_not_fit_is_told(folder: Path, engine: EngineConfig, given: dict[str, object], said: str) -> None:
    with pytest.raises(JobError, match=said):
        with_form(job_of(folder, engine, **given))


def test_a_form_that_fails_its_golden_images_is_not_used(folder: Path, tmp_path: Path) -> None:
    copy = tampered(folder, tmp_path / "copy", "model.onnx")
    assert with_form(job_of(copy, AutoEngineConfig())).model.checkpoint == str(copy / "openvino" / "model.xml")
    with pytest.raises(JobError, match="no form for engine=onnxruntime gives the right answers here: onnx: "):
        with_form(job_of(copy, OnnxEngineConfig()))


def test_a_precision_that_graphs_do_not_have_takes_the_network(folder: Path) -> None:
    bundle = read_bundle(str(folder), Storage())
    assert bundle is not None
    for engine, chosen in (
        (AutoEngineConfig(precision=Precision.bf16), "model.safetensors"),
        (AutoEngineConfig(device=Device.cuda), "model.safetensors"),
        (OpenVinoEngineConfig(precision=Precision.int8), "model.safetensors"),
        (AutoEngineConfig(precision=Precision.fp32), "model.onnx"),
    ):
        model = with_form(job_of(folder, engine, sha256=bundle.digest)).model
        assert model.checkpoint == str(folder / chosen)
    # Without a pin, the weights would run code that the bundle names; a graph is still allowed.
    assert with_form(job_of(folder, AutoEngineConfig(precision=Precision.bf16))).model.checkpoint.endswith(".onnx")


def test_scores_inside_take_the_place_of_the_activation(tmp_path: Path) -> None:
    export_sample(tmp_path / "soft", "export.formats=[onnx]", "export.postprocess=softmax")
    job = with_form(job_of(tmp_path / "soft", AutoEngineConfig()))
    assert job.task == Classify(activation=Activation.none, output="scores")
    given, wanted = (Predictor(recipe).predict(encoded()[:8]) for recipe in (Recipe(job.model, task=job.task), DIGITS))
    assert given["label_id"].equals(wanted["label_id"])
    np.testing.assert_allclose(given["score"], wanted["score"], atol=1e-5)
    other = replace(job_of(tmp_path / "soft", AutoEngineConfig()), task=Classify(activation=Activation.sigmoid))
    assert with_form(other).task == other.task  # rejected when the model is checked


def test_the_best_classes_alone_are_for_the_task_raw(tmp_path: Path) -> None:
    export_sample(tmp_path / "top", "export.formats=[onnx]", "export.postprocess=topk", "task.top_k=3")
    job = job_of(tmp_path / "top", AutoEngineConfig())
    with pytest.raises(JobError, match="gives the best classes alone"):
        with_form(job)
    assert with_form(replace(job, task=Raw())).task == Raw()


def test_models_from_elsewhere_stay_as_they_are(folder: Path, tmp_path: Path) -> None:
    job = job_of(folder, AutoEngineConfig())
    for model in (Model(checkpoint="x.onnx"), replace(job.model, checkpoint=str(tmp_path / "own.onnx"))):
        other = replace(job, model=model)
        assert with_form(other) is other
