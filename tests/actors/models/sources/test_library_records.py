from __future__ import annotations

import pytest
import torchvision_operators

from actors.errors import JobError
from actors.models.sources.library_records import architecture_record

assert torchvision_operators.LIBRARY is None or torchvision_operators.LIBRARY.ns == "torchvision"


def test_timm_tells_the_pre_processing_of_a_tag_and_of_its_default() -> None:
    clip = architecture_record("timm:vit_base_patch32_clip_224.openai", "mine.pt")
    assert clip.preprocess["mean"] == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert clip.checkpoint is None
    assert architecture_record("timm:resnet50", "").preprocess["interpolation"] == "bicubic"


def test_torchvision_tells_that_of_the_file_and_else_of_the_oldest_weights() -> None:
    assert architecture_record("torchvision:resnet50", "mine.pth").preprocess["resize"] == 256
    assert architecture_record("torchvision:resnet50", "s3://bucket/resnet50-11ad3fa6.pth").preprocess["resize"] == 232


def test_networks_that_convert_the_normalisation_are_told_to() -> None:
    assert architecture_record("torchvision:inception_v3", "mine.pth").kwargs == {"transform_input": True}
    assert architecture_record("torchvision:resnet50", "mine.pth").kwargs == {}


def test_a_detector_has_the_resize_of_its_own_transform() -> None:
    preprocess = architecture_record("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn", "mine.pth").preprocess
    assert preprocess is not None
    assert (preprocess["resize"], preprocess["resize_limit"], preprocess["crop"]) == (320, 640, 640)


@pytest.mark.parametrize("architecture", ["timm:resnet5", "timm:resnet50.nope", "torchvision:resnet5"])
def test_an_unknown_name_is_reported(architecture: str) -> None:
    with pytest.raises(JobError, match=f"model.architecture={architecture}: there is no"):
        architecture_record(architecture, "")
