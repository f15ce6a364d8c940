"""Every form answers what `ModelForm` asks, and none loads a library before it must."""

from __future__ import annotations

import subprocess
import sys

import pytest

from actors.engines.configs import ENGINE_CONFIGS
from actors.errors import JobError
from actors.models.forms import FORMS, ModelForm, form_of
from actors.models.onnx_form import OnnxForm
from actors.models.spec import Model
from actors.models.state_dict_form import StateDictForm


@pytest.mark.parametrize(
    ("checkpoint", "form"),
    [
        ("a.pt", StateDictForm),
        ("s3://bucket/A.PTH", StateDictForm),
        ("model.safetensors.index.json", StateDictForm),
        ("a.onnx", OnnxForm),
        ("https://host/a.onnx?signature=a.pt", OnnxForm),
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
