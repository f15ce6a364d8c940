from __future__ import annotations

import pytest
import torchvision_operators

from actors.errors import JobError
from actors.models.sources.base import Source
from actors.models.sources.torchvision_source import TorchvisionSource, weights_of

assert torchvision_operators.LIBRARY is None or torchvision_operators.LIBRARY.ns == "torchvision"


def test_weights_decide_file_labels_and_pre_processing() -> None:
    assert TorchvisionSource().owns(Source("torchvision:resnet18"))
    record = TorchvisionSource().read(Source("torchvision:resnet50:IMAGENET1K_V2"))
    assert record.architecture == "torchvision:resnet50"
    assert record.checkpoint.startswith("torchhub+https://")
    assert record.checkpoint.endswith("/resnet50-11ad3fa6.pth")
    assert (record.preprocess["resize"], record.preprocess["crop"]) == (232, 224)
    assert record.labels[:2] == ["tench", "goldfish"]
    assert record.kwargs == {}
    older = TorchvisionSource().read(Source("torchvision:resnet50:IMAGENET1K_V1"))
    assert older.preprocess["resize"] == 256
    assert older.checkpoint != record.checkpoint


def test_without_weights_torchvisions_default_is_taken() -> None:
    read = TorchvisionSource().read
    default = read(Source("torchvision:resnet50"))
    assert default == read(Source("torchvision:resnet50:DEFAULT")) == read(Source("torchvision:resnet50:IMAGENET1K_V2"))


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_networks_that_convert_the_normalisation_are_told_to(name: str) -> None:
    assert TorchvisionSource().read(Source(f"torchvision:{name}")).kwargs == {"transform_input": True}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", r"there is no resnet5 in it\n.*did you mean resnet50"),
        ("resnet50:IMAGENET1K_V3", r"there is no IMAGENET1K_V3 in it\n.*IMAGENET1K_V"),
        ("resnet50:x", r"there is no x in it\n.*IMAGENET1K_V1"),
        ("mnasnet0_5x", "there is no mnasnet0_5x in it"),
    ],
)
def test_a_name_that_torchvision_lacks_is_reported(name: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        TorchvisionSource().read(Source(f"torchvision:{name}"))


def test_a_detector_keeps_the_numbers_of_its_classes_and_normalises_itself() -> None:
    record = TorchvisionSource().read(Source("torchvision:fasterrcnn_resnet50_fpn:COCO_V1"))
    assert record.labels is not None
    assert record.labels[:2] == ["__background__", "person"]
    assert (len(record.labels), record.labels[12]) == (91, "N/A")
    assert record.preprocess == {
        "resize": 800,
        "resize_limit": 1333,
        "crop": 1333,
        "interpolation": "bilinear",
        "antialias": False,
        "pad_position": "top_left",
        "pad_color": [124, 116, 104],
        "mean": [0.0] * 3,
        "std": [1.0] * 3,
    }


def test_a_detector_of_one_size_squashes() -> None:
    record = TorchvisionSource().read(Source("torchvision:ssd300_vgg16"))
    assert record.preprocess is not None
    assert (record.preprocess["resize"], record.preprocess["crop"]) == ([300, 300], None)


def test_the_oldest_weights_come_first() -> None:
    assert next(iter(weights_of("resnet50", "x"))) == "IMAGENET1K_V1"
