"""Allowed values of keys in ``model.preprocess``."""

from __future__ import annotations

from enum import Enum


class Interpolation(Enum):
    """Resize method, as defined by Pillow."""

    nearest = "nearest"
    bilinear = "bilinear"
    bicubic = "bicubic"
    lanczos = "lanczos"
    box = "box"


class ResizeMode(Enum):
    """The side that `Preprocess.resize` determines."""

    shorter_side = "shorter_side"
    longest_side = "longest_side"


class CropOffset(Enum):
    """Rounding of the crop position."""

    round = "round"
    floor = "floor"


class PadPosition(Enum):
    """Position of an image that is smaller than the crop."""

    center = "center"
    top_left = "top_left"


class ChannelOrder(Enum):
    """Channel order that the model expects."""

    rgb = "rgb"
    bgr = "bgr"


class Layout(Enum):
    """Axis order that the model expects."""

    auto = "auto"
    nchw = "nchw"
    nhwc = "nhwc"


class Standardize(Enum):
    """Normalisation by the image's own statistics."""

    none = "none"
    per_image = "per_image"
