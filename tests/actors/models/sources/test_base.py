from __future__ import annotations

import pytest

from actors.errors import JobError
from actors.models.sources.base import Record, Source


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


def test_a_pre_processing_that_cannot_be_expressed_leaves_its_reason() -> None:
    def refuse(recorded: object) -> dict[str, object]:
        raise JobError(f"odd: {recorded}", fix="none")

    assert Record(architecture="a:b").prepared(dict, {"crop": 7}) == Record(architecture="a:b", preprocess={"crop": 7})
    assert Record().prepared(refuse, 3) == Record(unexpressed="odd: 3")
