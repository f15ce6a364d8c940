from __future__ import annotations

import pytest

from actors.models.names import model_name


@pytest.mark.parametrize(
    ("source", "architecture", "checkpoint", "name"),
    [
        ("timm:resnet18", "x", "", "timm:resnet18"),
        ("", "timm:resnet18", "/w/r18.safetensors", "timm:resnet18 r18.safetensors"),
        (None, None, "https://host/b/model.onnx?sig=1", "model.onnx?…"),
        ("https://me:word@host/m.onnx?sig=1", "", "", "https://…@host/m.onnx?…"),
    ],
)
def test_a_model_has_a_name_for_people(source: str, architecture: str, checkpoint: str, name: str) -> None:
    assert model_name(source, architecture, checkpoint) == name
