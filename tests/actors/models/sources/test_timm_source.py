from __future__ import annotations

import pytest
import torchvision_operators

from actors.errors import JobError
from actors.models.sources.base import Source
from actors.models.sources.timm_source import TimmSource, labels_of, pretrained_cfg

assert torchvision_operators.LIBRARY is None or torchvision_operators.LIBRARY.ns == "torchvision"


def test_a_tag_decides_weights_and_pre_processing() -> None:
    assert TimmSource().owns(Source("timm:resnet18"))
    record = TimmSource().read(Source("timm:vit_base_patch16_224.augreg_in21k_ft_in1k"))
    assert record.architecture == "timm:vit_base_patch16_224.augreg_in21k_ft_in1k"
    assert record.checkpoint == (
        "hf://timm/vit_base_patch16_224.augreg_in21k_ft_in1k/model.safetensors",
        "hf://timm/vit_base_patch16_224.augreg_in21k_ft_in1k/pytorch_model.bin",
    )
    assert record.preprocess["crop"] == 224
    assert record.preprocess["mean"] == record.preprocess["std"] == [0.5, 0.5, 0.5]
    assert record.preprocess["interpolation"] == "bicubic"
    assert record.labels[0].startswith("tench")
    assert len(record.labels) == 1000


def test_clip_has_other_numbers_than_imagenet_and_no_labels() -> None:
    record = TimmSource().read(Source("timm:vit_base_patch32_clip_224.openai"))
    assert record.preprocess["mean"] == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert record.labels is None


def test_weights_of_other_repositories_and_of_the_web_are_found() -> None:
    record = TimmSource().read(Source("timm:sam2_hiera_tiny.fb_r896"))
    assert all(uri.startswith("hf://timm/sam2_hiera_tiny.fb_r896/") for uri in record.checkpoint)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", r"there is no resnet5 in it\n.*did you mean resnet50"),
        ("resnet50.a1_in2k", r"there is no a1_in2k in it\n.*did you mean a1_in1k"),
        ("vit_base_patch16_224.x", r"there is no x in it"),
    ],
)
def test_a_name_that_timm_lacks_is_reported_with_the_closest(name: str, message: str) -> None:
    with pytest.raises(JobError, match=message) as caught:
        TimmSource().read(Source(f"timm:{name}"))
    assert f"model.source=timm:{name}" in str(caught.value)


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(JobError, match="timm has no weights for it"):
        TimmSource().read(Source("timm:vit_giant_patch14_224"))


def test_the_default_tag_is_that_of_timm() -> None:
    assert pretrained_cfg("resnet50", "x") == pretrained_cfg("resnet50.a1_in1k", "x")


def test_label_names_of_a_record_win_over_imagenet() -> None:
    names = ["cat", "dog"]
    assert labels_of({"num_classes": 2, "label_names": names}) == names
    assert labels_of({"num_classes": 2, "label_names": {"1": "dog", "0": "cat"}}) == names
    assert labels_of({"num_classes": 2, "label_names": names, "label_descriptions": {"cat": "a cat"}}) == [
        "a cat",
        "dog",
    ]
    assert labels_of({"num_classes": 2}) is None
    assert len(labels_of({"num_classes": 11821})) == 11821
