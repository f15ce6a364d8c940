from __future__ import annotations

import re
from typing import Any

import pytest
import transformers
from conventions import Convention, differences

from actors.errors import JobError
from actors.models.sources.image_processors import from_transformers

# Published preprocessor_config.json files, and the resulting fields.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "openai/clip-vit-base-patch32": (
        {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "resample": 3},
        {"resize": 224, "crop": 224, "interpolation": "bicubic", "crop_offset": "floor"},
    ),
    "google/vit-base-patch16-224": (
        {"image_processor_type": "ViTFeatureExtractor", "size": 224, "resample": 2, "image_mean": [0.5, 0.5, 0.5]},
        {"resize": [224, 224], "crop": None, "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5]},
    ),
    "microsoft/resnet-50": (
        {"feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": 0.875, "size": 224, "resample": 3},
        {"resize": 256, "crop": 224},
    ),
    "facebook/convnext-xlarge-384-22k-1k": (
        {"feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": None, "size": 384},
        {"resize": [384, 384], "crop": None},
    ),
    "facebook/levit-128S": (
        {"feature_extractor_type": "LevitFeatureExtractor", "size": {"shortest_edge": 224}, "do_center_crop": True},
        {"resize": 256, "crop": 224, "mean": [0.485, 0.456, 0.406]},
    ),
    "facebook/dinov2-base": (
        {
            "image_processor_type": "BitImageProcessor",
            "size": {"shortest_edge": 256},
            "crop_size": {"height": 224, "width": 224},
            "image_mean": [0.485, 0.456, 0.406],
            "rescale_factor": 0.00392156862745098,
        },
        {"resize": 256, "crop": 224, "rescale_factor": 1 / 255, "channels": 3},
    ),
    "apple/mobilevit-small": (
        {"feature_extractor_type": "MobileViTFeatureExtractor", "size": 288, "crop_size": 256, "resample": 2},
        {"resize": 288, "crop": 256, "channel_order": "bgr", "mean": [0.0] * 3, "std": [1.0] * 3},
    ),
    "google/efficientnet-b0": (
        {
            "image_processor_type": "EfficientNetImageProcessor",
            "size": {"height": 224, "width": 224},
            "resample": 0,
            "image_std": [0.5, 0.4, 0.3],
            "include_top": True,
            "rescale_offset": True,
            "rescale_factor": 1 / 127.5,
        },
        {"interpolation": "nearest", "mean": [1.5] * 3, "std": [0.25, 0.4 * 0.4, 0.3 * 0.3]},
    ),
    "a processor of grey pictures that rescales nothing": (
        {"image_processor_type": "ViTImageProcessorFast", "do_rescale": False, "image_mean": [127], "image_std": [64]},
        {"channels": 1, "rescale_factor": 1.0, "mean": [127.0], "std": [64.0]},
    ),
    "a DETR of one size for all": (
        {"image_processor_type": "DetrImageProcessor", "size": 640, "max_size": 640},
        {
            "resize": 640,
            "crop": None,
            "resize_mode": "longest_side",
            "pad_position": "top_left",
            "pad_color": [124, 116, 104],
        },
    ),
    "facebook/detr-resnet-50": (
        {"feature_extractor_type": "DetrFeatureExtractor", "size": 800, "max_size": 1333, "format": "coco_detection"},
        {
            "resize": 800,
            "resize_limit": 1333,
            "crop": 1333,
            "pad_position": "top_left",
            "pad_color": [124, 116, 104],
        },
    ),
    "PekingU/rtdetr_r50vd": (
        {"image_processor_type": "RTDetrImageProcessor", "size": {"height": 640, "width": 640}, "do_pad": False},
        {"resize": [640, 640], "crop": None, "mean": [0.0] * 3, "std": [1.0] * 3},
    ),
}


@pytest.mark.parametrize(("record", "expected"), CASES.values(), ids=CASES)
def test_published_configs_give_these_fields(record: dict[str, Any], expected: dict[str, Any]) -> None:
    fields = from_transformers(record)
    for key, value in expected.items():
        assert fields[key] == value, key


# Except for grey and nearest, where PyTorch rounds positions to float32.
@pytest.mark.parametrize(
    "name", [name for name, (record, _) in CASES.items() if record.get("resample") and "size" in record]
)
def test_pictures_are_prepared_as_the_processor_prepares_them(name: str) -> None:
    record = CASES[name][0]
    kind = re.sub(
        "FeatureExtractor|ImageProcessor", "", record.get("feature_extractor_type") or record["image_processor_type"]
    )
    processor = getattr(transformers, f"{kind}ImageProcessor")(**record)
    original = Convention(
        from_transformers(record), lambda picture: processor(picture, return_tensors="pt")["pixel_values"]
    )
    found = differences(original)
    assert found.max() <= 3.01
    assert found.mean() <= 0.15


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"image_processor_type": "Idefics3ImageProcessor"}, "image_processor_type='Idefics3ImageProcessor': not a"),
        ({}, "image_processor_type=None: not a processor of"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 5}, "resample='hamming': not one of"),
        ({"image_processor_type": "ViTImageProcessor", "do_thumbnail": True}, "do_thumbnail=True: a step of ViT"),
        (
            {"image_processor_type": "DetrImageProcessor", "do_pad": False},
            "size={'shortest_edge': 800, 'longest_edge': 1333}: pictures",
        ),
        (
            {"image_processor_type": "DetrImageProcessor", "pad_size": {"height": 900, "width": 1333}},
            "pad_size={.*: not the square of 1333",
        ),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"height": 9, "width": 9}},
            "size={.*ConvNext needs",
        ),
        (
            {"image_processor_type": "ViTImageProcessor", "image_mean": "a"},
            "not the record of .*: ValueError: could not",
        ),
        ({"image_processor_type": "ViTImageProcessor", "image_mean": [1, 2]}, r"image_mean=\[1, 2\]: not one number"),
        (
            {"image_processor_type": "CLIPImageProcessor", "crop_size": {"shortest_edge": 9}},
            r"crop_size={'shortest_edge': 9}: not one size",
        ),
    ],
)
def test_a_value_without_counterpart_is_refused_by_name(record: dict[str, Any], problem: str) -> None:
    with pytest.raises(JobError, match=f"^preprocessor_config.json: {problem}") as raised:
        from_transformers(record)
    assert "model.preprocess" in raised.value.fix
