"""Converts a transformers ``preprocessor_config.json`` to fields of `actors.preprocess.Preprocess`. Runs on the driver;
does not import transformers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from actors.models.sources.image_processor_types import TYPES
from actors.models.sources.record_values import inexpressible, interpolation, numbers, side, well_formed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.errors import JobError


@well_formed("preprocessor_config.json")
def from_transformers(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields for the transform that a transformers image processor applies to one picture.

    Args:
        record: the content of a ``preprocessor_config.json``, as transformers 3 to 5 write it. Missing or null values
            have the defaults of its ``image_processor_type``, or ``feature_extractor_type``.

    Raises:
        JobError: `Preprocess` cannot express a value, or the type is unknown; the message names it.
    """
    kind = _kind(record)
    given = TYPES[kind] | {key: value for key, value in record.items() if value is not None}
    others = [key for key, value in given.items() if key.startswith("do_") and value and key not in _STEPS]
    if others:
        raise _inexpressible(others[0], given[others[0]], f"a step of {kind} that has no counterpart here")
    fields = _resize(kind, given) | _crop(kind, given) | _normalisation(given)
    if "resize_limit" in fields:
        fields["crop"] = fields["resize_limit"]
    if "resize_mode" in fields or "resize_limit" in fields:
        # transformers pads the normalised picture with zeros, which stand for the mean.
        mean = [round(value / fields["rescale_factor"]) for value in fields["mean"]]
        fields |= {"pad_position": "top_left", "pad_color": mean * (3 // len(mean))}
    return {
        **fields,
        "interpolation": interpolation(_FILE, "resample", _RESAMPLES.get(given["resample"], given["resample"])),
        "crop_offset": "floor",
        **({"channel_order": "bgr"} if given.get("do_flip_channel_order") else {}),
    }


_FILE = "preprocessor_config.json"
# The numbers of PIL.Image.Resampling.
_RESAMPLES = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
# Steps that are converted, and steps that do not change an RGB picture or only affect annotations.
_STEPS = {
    "do_resize",
    "do_center_crop",
    "do_pad",
    "do_rescale",
    "do_normalize",
    "do_grayscale",
    "do_flip_channel_order",
}
_STEPS |= {"do_convert_rgb", "do_reduce_labels", "do_convert_annotations"}
_LEVIT_MARGIN = 256 / 224
_CONVNEXT_WHOLE = 384  # pixels; from this size on, ConvNeXT squashes the picture and does not crop


def _inexpressible(key: str, value: object, reason: str) -> JobError:
    return inexpressible(_FILE, key, value, reason)


def _kind(record: Mapping[str, Any]) -> str:
    """Returns the key in `TYPES`."""
    keys = ("image_processor_type", "feature_extractor_type")
    key, name = next(((key, record[key]) for key in keys if record.get(key)), (keys[0], None))
    kind = re.sub(r"(ImageProcessor(Fast|Pil)?|FeatureExtractor)$", "", str(name))
    if kind not in TYPES:
        raise _inexpressible(key, name, f"not a processor of {', '.join(TYPES)}")
    return kind


def _size(key: str, given: Mapping[str, Any]) -> dict[str, int]:
    """Returns the value of ``key`` as the mapping that transformers 4 and later write."""
    value = given[key]
    if isinstance(value, dict):
        return {name: length for name, length in value.items() if length is not None}
    if isinstance(value, list | tuple):
        return {"height": value[0], "width": value[1]} if len(value) == 2 else {"shortest_edge": value[0]}  # noqa: PLR2004
    if key == "crop_size" or given["default_to_square"]:
        return {"height": value, "width": value}
    limit = {"longest_edge": given["max_size"]} if "max_size" in given else {}
    return {"shortest_edge": value} | limit


def _resize(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    if not given["do_resize"]:
        return {"resize": None}
    size = _size("size", given)
    names = set(size)
    if kind == "ConvNext" and names == {"shortest_edge"} and size["shortest_edge"] >= _CONVNEXT_WHOLE:
        return {"resize": [size["shortest_edge"]] * 2}
    if kind == "PoolFormer" and len({*size.values()}) == 1:
        names, size = {"shortest_edge"}, {"shortest_edge": next(iter(size.values()))}
    if names == {"shortest_edge"}:
        return {"resize": _shorter_side(kind, size["shortest_edge"], given)}
    if names == {"height", "width"}:
        share = given["crop_pct"] if kind == "PoolFormer" else 1
        return {"resize": [int(size["height"] / share), int(size["width"] / share)]}
    if names == {"shortest_edge", "longest_edge"} and given.get("do_pad"):
        return _boxed(size["shortest_edge"], size["longest_edge"], given)
    raise _inexpressible("size", given["size"], "pictures would differ in size")


def _shorter_side(kind: str, length: int, given: Mapping[str, Any]) -> int:
    if kind in ("ConvNext", "PoolFormer"):
        return int(length / given["crop_pct"])
    return int(_LEVIT_MARGIN * length) if kind == "Levit" else length


def _boxed(shortest: int, longest: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a resize with a limit, and padding to a square that holds every picture."""
    padded = _size("pad_size", given) if given.get("pad_size") else {}
    if padded and [padded["height"], padded["width"]] != [longest] * 2:
        raise _inexpressible("pad_size", given["pad_size"], f"not the square of {longest} that holds every picture")
    if shortest >= longest:
        return {"resize": longest, "resize_mode": "longest_side"}
    return {"resize": shortest, "resize_limit": longest}


def _crop(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    if kind == "ConvNext" and given["do_resize"]:
        length = _size("size", given).get("shortest_edge")
        if length is None:
            raise _inexpressible("size", given["size"], f"{kind} needs a shortest_edge")
        return {"crop": length if length < _CONVNEXT_WHOLE else None}
    if not given.get("do_center_crop"):
        return {"crop": None}
    size = _size("crop_size", given)
    if set(size) != {"height", "width"}:
        raise _inexpressible("crop_size", given["crop_size"], "not one size for all pictures")
    return {"crop": side([size["height"], size["width"]])}


def _normalisation(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns mean and std, for pixels times the rescale factor, and the number of channels that they imply."""
    mean, std = given["image_mean"], given["image_std"]
    is_grey = given.get("do_grayscale") or (isinstance(mean, list | tuple) and len(mean) == 1)
    channels = 1 if is_grey else 3
    mean, std = numbers(_FILE, "image_mean", mean, channels), numbers(_FILE, "image_std", std, channels)
    deviation = [value * value for value in std] if given.get("include_top") else std
    if not given["do_normalize"]:
        mean, deviation = [0.0] * channels, std if given.get("include_top") else [1.0] * channels
    if given.get("rescale_offset"):  # of EfficientNet, which subtracts 1 first
        mean = [value + 1 for value in mean]
    return {
        "mean": mean,
        "std": deviation,
        "rescale_factor": float(given["rescale_factor"]) if given["do_rescale"] else 1.0,
        "channels": channels,
    }
