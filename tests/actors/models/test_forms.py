"""Every form implements `ModelForm`, and none loads a library before it is needed."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from networks import tiny
from onnx_models import images, save_onnx
from programs import PREPROCESS, save_ir, save_pt2, save_script

from actors.engines.configs import ENGINE_CONFIGS, default_engine
from actors.errors import JobError
from actors.models.forms import FORMS, ModelForm, form_of
from actors.models.onnx_form import OnnxForm
from actors.models.openvino_form import OpenVinoForm
from actors.models.pt2_form import Pt2Form
from actors.models.spec import Model
from actors.models.state_dict_form import StateDictForm
from actors.models.torchscript_form import TorchScriptForm
from actors.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable

    from places import Place


@pytest.mark.parametrize(
    ("checkpoint", "form"),
    [
        ("a.pt", StateDictForm),
        ("s3://bucket/A.PTH", StateDictForm),
        ("model.safetensors.index.json", StateDictForm),
        ("a.onnx", OnnxForm),
        ("https://host/a.onnx?signature=a.pt", OnnxForm),
        ("s3://bucket/A.XML", OpenVinoForm),
        ("a.pt2", Pt2Form),
        ("yolo.torchscript", TorchScriptForm),
        ("a.torchscript.pt", TorchScriptForm),
    ],
)
def test_the_name_of_the_checkpoint_decides(checkpoint: str, form: type) -> None:
    assert isinstance(form_of(Model(checkpoint=checkpoint)), form)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_owned_by_itself_alone_and_names_known_engines(form: ModelForm) -> None:
    for ending in form.formats:
        assert [other for other in FORMS if other.owns(f"folder/model{ending}")] == [form]
    assert form.engines
    assert set(form.engines) <= ENGINE_CONFIGS.keys()
    assert form.stored_as in ("file", "folder")


def test_unknown_formats_list_the_known_ones() -> None:
    known = [ending for form in FORMS for ending in form.formats]
    with pytest.raises(JobError, match=r"model\.checkpoint=weights\.h5: unknown format") as caught:
        form_of(Model(checkpoint="weights.h5"))
    assert all(ending in str(caught.value) for ending in known)


def test_forms_load_no_library() -> None:
    code = "import sys, actors.models.forms; print(*{'torch', 'onnx', 'onnxruntime', 'openvino'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


SAVED: dict[str, Callable[[Path], Model]] = {
    "state_dict": lambda folder: save_state_dict(folder / "tiny.pt"),
    "onnx": lambda folder: save_plain_onnx(folder / "tiny.onnx"),
    "ir": lambda folder: save_ir(tiny(), folder / "tiny.xml"),
    "pt2": lambda folder: save_pt2(tiny(), folder / "tiny.pt2"),
    "script": lambda folder: save_script(tiny(), folder / "tiny.torchscript"),
}


def save_state_dict(path: Path) -> Model:
    torch.save(tiny().state_dict(), path)
    return Model("networks:tiny", checkpoint=str(path), preprocess=PREPROCESS)


def save_plain_onnx(path: Path) -> Model:
    save_onnx(tiny(), path)
    return Model(checkpoint=str(path), preprocess=PREPROCESS)


def pin(model: Model) -> str:
    content = b"".join(Path(uri).read_bytes() for uri in form_of(model).files(model))
    return hashlib.sha256(content).hexdigest()


def load(model: Model) -> None:
    """Loads the same files as the model's engines."""
    form = form_of(model)
    if (opened := form.graph_file(model)) is not None:
        with opened as file:
            assert file.path.exists()
    assert (form.network(model) is not None) == form.has_network


@pytest.mark.parametrize("form", SAVED)
def test_a_form_gives_a_file_or_a_network_and_a_digest(tmp_path: Path, form: str) -> None:
    model = SAVED[form](tmp_path)
    load(model)
    model.check()
    assert re.fullmatch("[0-9a-f]{64}", form_of(model).digest(model))
    first = form_of(model).engines[0]
    assert default_engine(model).name == first
    assert Predictor(model).predict(list(images(2)))["error"].null_count == 2


@pytest.mark.parametrize("form", SAVED)
def test_a_pin_holds_for_every_form(tmp_path: Path, form: str) -> None:
    model = SAVED[form](tmp_path)
    pinned = replace(model, sha256=pin(model))
    load(pinned)
    assert form_of(pinned).digest(pinned) == form_of(model).digest(model)
    with pytest.raises(JobError, match=r"its SHA-256 is [0-9a-f]{64}, not model\.sha256=0000"):
        load(replace(model, sha256="0" * 64))


@pytest.mark.parametrize("form", SAVED)
def test_a_remote_model_is_loaded_from_its_copy(place: Place, tmp_path: Path, form: str) -> None:
    model = SAVED[form](tmp_path)
    uris = [place.put(Path(uri).name, Path(uri).read_bytes()) for uri in form_of(model).files(model)]
    remote = replace(model, checkpoint=uris[0], storage_options=place.options)
    load(remote)
    assert form_of(remote).files(remote) == uris
    assert form_of(remote).digest(remote) == form_of(model).digest(model)
