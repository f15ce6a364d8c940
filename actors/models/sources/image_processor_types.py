"""Defaults of transformers' image processors, which a ``preprocessor_config.json`` may omit. Data only."""

from __future__ import annotations

from typing import Any

_NEAR_ZERO = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
_LINEAR, _CUBIC = {"resample": 2}, {"resample": 3}  # the numbers of PIL.Image.Resampling
_ALWAYS = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}


def _squashed(length: int) -> dict[str, Any]:
    """Returns a square, whatever the aspect ratio of the picture. A plain number as size means the same."""
    return {**_ALWAYS, "size": {"height": length, "width": length}, "default_to_square": True}


def _kept(length: int) -> dict[str, Any]:
    """Returns the shorter side, with the aspect ratio kept. A plain number as size means the same."""
    return {**_ALWAYS, "size": {"shortest_edge": length}, "default_to_square": False}


def _boxed() -> dict[str, Any]:
    """Returns the shorter side, unless the longer one would exceed a limit; padded below and to the right."""
    size = {"shortest_edge": 800, "longest_edge": 1333}
    return {**_ALWAYS, "size": size, "default_to_square": False, "max_size": 1333, "do_pad": True}


def _crop(length: int) -> dict[str, Any]:
    return {"do_center_crop": True, "crop_size": {"height": length, "width": length}}


# Names without ImageProcessor, ImageProcessorFast, ImageProcessorPil or FeatureExtractor.
TYPES: dict[str, dict[str, Any]] = {
    "Beit": {**_squashed(224), **_CUBIC, **_NEAR_ZERO, **_crop(224), "do_center_crop": False},
    "Bit": {**_kept(224), **_CUBIC, **_CLIP, **_crop(224)},
    "Blip": {**_squashed(384), **_CUBIC, **_CLIP},
    "CLIP": {**_kept(224), **_CUBIC, **_CLIP, **_crop(224)},
    "ChineseCLIP": {**_kept(224), **_CUBIC, **_CLIP, **_crop(224)},
    "ConditionalDetr": {**_boxed(), **_LINEAR, **_IMAGENET},
    "ConvNext": {**_kept(384), **_CUBIC, **_NEAR_ZERO, "crop_pct": 224 / 256},
    "DINOv3ViT": {**_squashed(224), **_LINEAR, **_IMAGENET},
    "DeformableDetr": {**_boxed(), **_LINEAR, **_IMAGENET},
    "DeiT": {**_squashed(256), **_CUBIC, **_NEAR_ZERO, **_crop(224)},
    "Detr": {**_boxed(), **_LINEAR, **_IMAGENET},
    "EfficientNet": {**_squashed(346), **_CUBIC, **_NEAR_ZERO, **_crop(289), "do_center_crop": False},
    "Levit": {**_kept(224), **_CUBIC, **_IMAGENET, **_crop(224)},
    "MobileNetV1": {**_kept(256), **_LINEAR, **_NEAR_ZERO, **_crop(224)},
    "MobileNetV2": {**_kept(256), **_LINEAR, **_NEAR_ZERO, **_crop(224)},
    "MobileViT": {**_kept(224), **_CUBIC, **_NEAR_ZERO, **_crop(256)},
    "OwlViT": {**_squashed(768), **_CUBIC, **_CLIP, **_crop(768), "do_center_crop": False},
    "PoolFormer": {**_kept(224), **_CUBIC, **_IMAGENET, **_crop(224), "crop_pct": 0.9},
    "Pvt": {**_squashed(224), **_CUBIC, **_IMAGENET},
    "RTDetr": {**_squashed(640), **_LINEAR, **_IMAGENET, "do_normalize": False},
    "RfDetr": {**_boxed(), **_LINEAR, **_IMAGENET},
    "Segformer": {**_squashed(512), **_LINEAR, **_IMAGENET},
    "Siglip": {**_squashed(224), **_CUBIC, **_NEAR_ZERO},
    "Yolos": {**_boxed(), **_LINEAR, **_IMAGENET},
    "ViT": {**_squashed(224), **_LINEAR, **_NEAR_ZERO},
}
TYPES["EfficientNet"]["include_top"] = True
TYPES["MobileViT"] |= {"do_normalize": False, "do_flip_channel_order": True}
for _name in ("RTDetr", "Siglip"):
    TYPES[_name]["default_to_square"] = False
