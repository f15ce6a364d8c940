from __future__ import annotations

import pytest

from actors.models.sources.base import Source


@pytest.mark.parametrize(
    ("text", "library", "name"),
    [
        ("timm:resnet50.a1_in1k", "timm", "resnet50.a1_in1k"),
        ("torchvision:resnet50:IMAGENET1K_V2", "torchvision", "resnet50:IMAGENET1K_V2"),
        ("hf:microsoft/resnet-50@main", "hf", "microsoft/resnet-50@main"),
        ("timm", "", "timm"),
        ("models/resnet", "", "models/resnet"),
        ("s3://bucket/resnet", "", "s3://bucket/resnet"),
        ("hf://bucket/resnet", "", "hf://bucket/resnet"),
    ],
)
def test_a_source_is_a_name_in_a_library_or_a_folder(text: str, library: str, name: str) -> None:
    source = Source(text)
    assert (source.library, source.name) == (library, name)
    assert source.where == f"model.source={text}"
