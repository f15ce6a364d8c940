from __future__ import annotations

from typing import Any

import pytest
import torchvision_operators  # noqa: F401  before torchvision
from torchvision.models import get_model_weights, get_weight, list_models

from actors.errors import JobError
from actors.models.sources.preprocess_records import from_timm, from_torchvision
from actors.preprocess import Preprocess

CLIP = {"mean": (0.481, 0.458, 0.408), "std": (0.269, 0.261, 0.276)}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, {"resize": 256, "crop": 224, "interpolation": "bicubic", "mean": [0.485, 0.456, 0.406], "channels": 3}),
        ({"input_size": (3, 240, 240), "crop_pct": 0.95}, {"resize": 252, "crop": 240}),
        ({"crop_pct": 1.0, "crop_mode": "squash"}, {"resize": [224, 224], "crop": 224}),
        ({"crop_mode": "squash", "input_size": [3, 99, 80]}, {"resize": [113, 91], "crop": [99, 80]}),
        (
            {"crop_mode": "border", "crop_pct": 0.9, **CLIP},
            {"resize": 248, "resize_mode": "longest_side", "crop": 224, "pad_color": [123, 117, 104]},
        ),
        ({"input_size": [1, 28, 28], "mean": [0.13], "std": [0.3]}, {"channels": 1, "mean": [0.13], "std": [0.3]}),
    ],
)
def test_timm_is_read_by_its_rules(record: dict[str, Any], expected: dict[str, Any]) -> None:
    fields = from_timm(record)
    assert {key: fields[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"interpolation": "random"}, "interpolation='random'"),
        ({"input_size": (4, 224, 224)}, r"input_size=\[4, 224, 224\]: neither 1 nor 3"),
        ({"input_size": (3, 224, 112)}, r"input_size=\[3, 224, 112\]: not square"),
        ({"crop_mode": "five"}, "crop_mode='five'"),
        ({"crop_pct": 0.0}, "not the record of a pre-processing: ZeroDivisionError: .*division by zero"),
        ({"input_size": 224}, "not the record of a pre-processing: TypeError"),
        ({"input_size": (1, 28, 28)}, r"mean=\(0.485, 0.456, 0.406\): not one number"),
    ],
)
def test_a_value_of_timm_without_counterpart_is_refused_by_name(record: dict[str, Any], problem: str) -> None:
    with pytest.raises(JobError, match=f"^timm: {problem}"):
        from_timm(record)


def test_every_classifier_of_torchvision_is_read() -> None:
    fields = from_torchvision(get_weight("EfficientNet_V2_S_Weights.IMAGENET1K_V1").transforms())
    assert fields["resize"] == fields["crop"] == 384
    assert fields["interpolation"] == "bilinear"
    found = [weights.transforms() for name in list_models() for weights in get_model_weights(name)]
    classifiers = [transforms for transforms in found if type(transforms).__name__ == "ImageClassification"]
    assert len(classifiers) > 100
    for transforms in classifiers:
        Preprocess(**from_torchvision(transforms)).check()


def test_transforms_of_other_tasks_are_refused() -> None:
    with pytest.raises(JobError, match="torchvision: transforms of VideoClassification"):
        from_torchvision(get_weight("R3D_18_Weights.DEFAULT").transforms())


def test_networks_for_segmentation_get_whole_pictures() -> None:
    preprocess = Preprocess(**from_torchvision(get_weight("FCN_ResNet50_Weights.DEFAULT").transforms()))
    preprocess.check()
    assert preprocess.size == (693, 693)
    assert preprocess.resized(480, 640) == (520, 693)
    assert preprocess.resized(1000, 500) == (693, 346)
