from __future__ import annotations

import pytest

from actors.models.names import model_name


@pytest.mark.parametrize(
    ("source", "architecture", "checkpoint", "name"),
    [
        ("timm:resnet18", "timm:create_model", None, "resnet18"),
        (None, "torchvision.models:resnet50", "s3://bucket/x.pt", "torchvision.models:resnet50"),
        (None, None, "https://user:secret@host/nets/cats.onnx", "cats"),
        (None, None, None, ""),
    ],
)
def test_the_name_is_the_one_that_people_know(
    source: str | None, architecture: str | None, checkpoint: str | None, name: str
) -> None:
    assert model_name(source, architecture, checkpoint) == name
