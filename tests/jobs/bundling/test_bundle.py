from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bundles import export_job, export_sample, signals_kept, tiny_on_photos
from networks import tiny
from places import Place
from programs import save_pt2
from torch import nn

from actors.errors import JobError
from actors.models.bundle_files import check_files, read_bundle
from actors.storage.store import Storage
from jobs.bundling.bundle import check_forms
from jobs.cli.entry import ExitStatus
from jobs.export import export


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


def test_a_program_of_one_batch_size_is_refused_at_once(tmp_path: Path) -> None:
    job = export_job("+dataset=sample", f"export.path={tmp_path / 'b'}", "export.formats=[onnx,pt2]")
    job = replace(job, model=save_pt2(tiny(5), tmp_path / "a.pt2", batch=None, num_images=3))
    with pytest.raises(JobError, match=r"a\.pt2 was exported for batches of 3 images.*\n  cure: .*Dim\.DYNAMIC"):
        check_forms(job)
