from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundles import export_job, export_sample, signals_kept, tiny_on_photos
from detectors import yolo_like
from networks import tiny
from photos import write_photos
from places import Place
from programs import save_pt2
from torch import nn

from actors.engines.configs import Device, OnnxEngineConfig, OpenVinoEngineConfig, Precision, TorchEngineConfig
from actors.errors import JobError
from actors.models.bundle_files import check_files, read_bundle
from actors.models.sources import model_from
from actors.predictor import Predictor
from actors.storage.store import Storage
from jobs.bundling.bundle import check_forms
from jobs.bundling.config import ExportJob
from jobs.cli.entry import ExitStatus
from jobs.export import export
from jobs.job import Job
from jobs.runs.bundle_choice import with_form


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("shardlens"), "propagate", True)
    caplog.set_level(logging.INFO)
    return caplog


def test_int8_is_quantised_on_images_and_compared(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    overrides = ("export.formats=[onnx,safetensors]", "export.precision=int8")
    assert export_sample(tmp_path / "b", *overrides) is ExitStatus.DONE
    bundle = read_bundle(str(tmp_path / "b"), Storage())
    assert bundle is not None
    assert {name: form.precision for name, form in bundle.forms.items()} == {"onnx": "int8", "safetensors": "fp32"}
    messages = [record.getMessage() for record in said.records]
    assert "onnx int8: exporting" in messages
    assert "onnx int8: comparing on 24 images" in messages


def test_a_bundle_in_any_store(place: Place) -> None:
    options = [f"+output.storage_options.{name}={value}" for name, value in place.options.items()]
    assert export_sample(Path(), f"export.path={place.root}", "export.formats=[onnx]", *options) is ExitStatus.DONE
    bundle = read_bundle(place.root, Storage(place.options))
    assert bundle is not None
    check_files(bundle, Storage(place.options))


class Deciding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 5)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.fc(pixels.mean(dim=(2, 3)))
        return scores if scores.sum() > 0 else -scores


def test_a_network_that_cannot_be_exported_is_in_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [one for one in tiny_on_photos(tmp_path) if "kwargs" not in one and "checkpoint" not in one]
    torch.save(Deciding().state_dict(), tmp_path / "d.pt")
    names = [f"model.architecture={__name__}:Deciding", f"model.checkpoint={tmp_path / 'd.pt'}"]
    job = export_job(*overrides, *names, f"export.path={tmp_path / 'b'}", "export.formats=[onnx,pt2]")
    with signals_kept():
        assert export(job) is ExitStatus.JOB_WRONG
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("onnx fp32 failed: ") and "cannot be exported to ONNX" in line for line in lines)
    assert any(line.startswith("pt2 fp32 failed: ") for line in lines)
    assert not (tmp_path / "b").exists()


def test_forms_that_cannot_be_are_refused_before_the_model_is_loaded() -> None:
    job = export_job("+dataset=sample", "export.path=b", "export.precision=bf16", "model.checkpoint=/nowhere.pt")
    with pytest.raises(JobError, match="leave onnx out"):
        check_forms(job)


def detector_job(folder: Path, *overrides: str) -> ExportJob:
    torch.manual_seed(0)
    torch.save(yolo_like().state_dict(), folder / "detector.pt")
    write_photos(folder / "photos", 12, width=160, height=120)
    return export_job(
        "+dataset=images", f"dataset.path={folder}/photos", "model.architecture=detectors:yolo_like",
        f"model.checkpoint={folder}/detector.pt", "model.labels=[cat,dog,cow]", "model.preprocess.resize=128",
        "model.preprocess.crop=128", "task=detect", "task.score_threshold=0.3", f"export.path={folder}/b",
        "export.images=12", *overrides,
    )  # fmt: skip


def test_a_detector_becomes_a_bundle_whose_forms_find_the_same_boxes(tmp_path: Path) -> None:
    job = detector_job(tmp_path, "task.classes=[dog,2]")
    with signals_kept():
        assert export(job) is ExitStatus.DONE
    bundle = read_bundle(str(tmp_path / "b"), Storage())
    assert bundle is not None
    assert set(bundle.forms) == {"onnx", "openvino", "safetensors"}
    # Loading the form checks the golden images by comparing their boxes.
    from_bundle = model_from(str(tmp_path / "b"))
    found = [
        Predictor(model, engine=engine, task=job.task).predict(sorted((tmp_path / "photos").rglob("*.jpg")))
        for model, engine in (
            (from_bundle, OnnxEngineConfig(device=Device.cpu)),
            (job.model, TorchEngineConfig(device=Device.cpu, precision=Precision.fp32)),
        )
    ]
    labels = [[[box["label"] for box in boxes] for boxes in table["detections"].to_pylist()] for table in found]
    assert labels[0] == labels[1]
    assert {label for boxes in labels[0] for label in boxes} == {"dog", "cow"}


def test_a_program_of_one_batch_size_is_refused_at_once(tmp_path: Path) -> None:
    job = export_job("+dataset=sample", f"export.path={tmp_path / 'b'}", "export.formats=[onnx,pt2]")
    job = replace(job, model=save_pt2(tiny(5), tmp_path / "a.pt2", batch=None, num_images=3))
    with pytest.raises(JobError, match=r"a\.pt2 was exported for batches of 3 images.*\n  fix: .*Dim\.DYNAMIC"):
        check_forms(job)


def boxes_of(row: list[dict[str, Any]]) -> list[tuple[float, ...]]:
    """Returns the numbers of an image's boxes, in an order that does not depend on scores near 1."""
    names = ("label_id", "xmin", "ymin", "xmax", "ymax", "score")
    return sorted(tuple(float(box[name]) for name in names) for box in row)


def test_a_bundle_whose_graphs_suppress_boxes_finds_those_of_the_network(tmp_path: Path) -> None:
    # The bias keeps most scores away from 1, where they would be equal.
    job = detector_job(tmp_path, "task.classes=[dog,2]", "export.postprocess=nms", "+model.kwargs.bias=-20.0")
    with signals_kept():
        assert export(job) is ExitStatus.DONE
    bundle = read_bundle(str(tmp_path / "b"), Storage())
    assert bundle is not None
    assert {name: form.postprocess for name, form in bundle.forms.items()} == {
        "onnx": "nms", "openvino": "nms", "safetensors": "none",
    }  # fmt: skip
    assert bundle.forms["onnx"].outputs == [{"name": "detections", "dtype": "float32", "shape": [None, 256, 6]}]
    assert (bundle.task["head"], bundle.task["classes"], bundle.task["score_threshold"]) == ("yolov8", [1, 2], 0.3)
    photos = sorted((tmp_path / "photos").rglob("*.jpg"))
    from_bundle = model_from(str(tmp_path / "b"))
    for changes in ({}, {"score_threshold": 0.4, "max_detections": 3, "classes": ["dog"]}):
        task = replace(job.task, **changes)
        for engine in (OnnxEngineConfig(device=Device.cpu), OpenVinoEngineConfig()):
            wanted = Predictor(job.model, engine=engine, task=task).predict(photos)
            chosen = with_form(Job(dataset=job.dataset, model=from_bundle, engine=engine, task=task))
            found = Predictor(chosen.model, engine=engine, task=chosen.task).predict(photos)
            both = [[boxes_of(row) for row in table["detections"].to_pylist()] for table in (found, wanted)]
            assert sum(map(len, both[0])) > len(photos)
            for mine, other in zip(*both, strict=True):
                assert np.array(mine).shape == np.array(other).shape
                np.testing.assert_allclose(mine, other, atol=1e-2)
    with pytest.raises(JobError, match=r"task\.iou=0\.5: the graph of form onnx was exported with task\.iou=0\.7"):
        Predictor(from_bundle, task=replace(job.task, iou=0.5))


def test_forms_that_cannot_suppress_are_told_before_anything_is_done() -> None:
    job = export_job("+dataset=sample", "export.path=b", "export.formats=[pt2]", "export.postprocess=nms")
    with pytest.raises(JobError, match=r"export\.postprocess=nms: cannot end the form pt2"):
        check_forms(job)
