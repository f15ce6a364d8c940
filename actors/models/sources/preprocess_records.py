"""Converts the pre-processing that other libraries record for a model to fields of `actors.preprocess.Preprocess`. Runs
on the driver; imports none of these libraries.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.models.sources.image_processors import from_transformers
from actors.models.sources.record_values import OWN_KEYS, inexpressible, interpolation, numbers, side, well_formed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["from_timm", "from_torchvision", "from_transformers"]


@well_formed("timm")
def from_timm(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields for the transform that `timm.data.create_transform` makes for evaluation.

    Args:
        record: ``pretrained_cfg`` of a model or in a ``config.json``, or the result of `timm.data.resolve_data_config`.
            Missing or null values have timm's defaults.

    Raises:
        JobError: `Preprocess` cannot express a value; the message names it.
    """
    given = _TIMM_DEFAULTS | {key: value for key, value in record.items() if value is not None}
    shape = list(given["input_size"])
    channels, *input_hw = shape
    if channels not in (1, 3):
        raise inexpressible("timm", "input_size", shape, "neither 1 nor 3 channels")
    scaled_hw = [math.floor(length / given["crop_pct"]) for length in input_hw]  # timm rounds down
    fields = {
        "resize": side(scaled_hw),
        "crop": side(input_hw),
        "interpolation": interpolation("timm", "interpolation", given["interpolation"]),
        "mean": numbers("timm", "mean", given["mean"], channels),
        "std": numbers("timm", "std", given["std"], channels),
        "channels": channels,
    }
    mode = given["crop_mode"]
    if mode == "squash":
        return fields | {"resize": scaled_hw}
    if mode == "border":
        color = [round(255 * value) for value in fields["mean"]]
        return fields | {"resize_mode": "longest_side", "pad_color": color * (3 // channels)}
    if mode != "center":
        raise inexpressible("timm", "crop_mode", mode, "not center, border or squash")
    if not isinstance(fields["resize"], int):
        raise inexpressible("timm", "input_size", shape, "not square, as the crop mode center needs here")
    return fields


@well_formed("torchvision")
def from_torchvision(transforms: Any) -> dict[str, Any]:
    """Returns the fields for the transform of ``weights.transforms()`` of a classifier or segmentation network, or for
    that of a detector before its first layer.

    Args:
        transforms: an `ImageClassification` or a `SemanticSegmentation` from `torchvision.transforms._presets`, or the
            ``transform`` of a detector.

    Raises:
        JobError: `Preprocess` cannot express a value, or the transforms are for another task.
    """
    task = type(transforms).__name__
    if task == "GeneralizedRCNNTransform":
        return _of_detector(transforms)
    if task not in ("ImageClassification", "SemanticSegmentation"):
        raise JobError(f"torchvision: transforms of {task}, not of ImageClassification", fix=OWN_KEYS)
    is_classifier = task == "ImageClassification"
    return {
        "resize": side(transforms.resize_size),
        **({"crop": side(transforms.crop_size)} if is_classifier else _uncropped(transforms)),
        "interpolation": interpolation("torchvision", "interpolation", transforms.interpolation.value),
        "antialias": transforms.antialias is not False,  # None left it to Pillow, which always antialiases
        "mean": [float(value) for value in transforms.mean],
        "std": [float(value) for value in transforms.std],
    }


def _uncropped(transforms: Any) -> dict[str, Any]:
    """Returns the resize of a segmentation network, which accepts any aspect ratio, to a square that holds a 4:3
    picture; longer pictures become smaller.
    """
    (shorter,) = transforms.resize_size
    longest = shorter * 4 // 3
    color = [round(255 * value) for value in transforms.mean]
    return {"resize_limit": longest, "crop": longest, "pad_position": "top_left", "pad_color": color}


def _of_detector(transform: Any) -> dict[str, Any]:
    """Returns the resize of a detector; `actors.models.detectors.Detector` leaves normalisation to the network."""
    geometry: dict[str, Any]
    if transform.fixed_size is not None:
        width, height = transform.fixed_size
        geometry = {"resize": [height, width], "crop": None}
    else:
        color = [round(255 * value) for value in transform.image_mean]  # torchvision pads the normalised picture
        geometry = {"resize": transform.min_size[-1], "resize_limit": transform.max_size, "crop": transform.max_size}
        geometry |= {"pad_position": "top_left", "pad_color": color}
    return {**geometry, "interpolation": "bilinear", "antialias": False, "mean": [0.0] * 3, "std": [1.0] * 3}


_TIMM_DEFAULTS: dict[str, Any] = {
    "input_size": (3, 224, 224),
    "crop_pct": 0.875,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
