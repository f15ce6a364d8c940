"""Values that keys of ``model.preprocess`` may have."""

from __future__ import annotations

from enum import Enum


class Interpolation(Enum):
    """Method of the resize, as Pillow defines them."""

    nearest = "nearest"
    bilinear = "bilinear"
    bicubic = "bicubic"
    lanczos = "lanczos"
    box = "box"


class ResizeMode(Enum):
    """Side that `Preprocess.resize` fixes."""

    shorter_side = "shorter_side"
    longest_side = "longest_side"


class CropOffset(Enum):
    """Rounding of the crop's position."""

    round = "round"
    floor = "floor"


class PadPosition(Enum):
    """Place of an image that is smaller than the crop."""

    center = "center"
    top_left = "top_left"


class ChannelOrder(Enum):
    """Order of the channels that the model takes."""

    rgb = "rgb"
    bgr = "bgr"


class Layout(Enum):
    """Order of the axes that the model takes."""

    auto = "auto"
    nchw = "nchw"
    nhwc = "nhwc"


class Standardize(Enum):
    """Normalisation by the statistics of the image itself."""

    none = "none"
    per_image = "per_image"
