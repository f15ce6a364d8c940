"""Converts a decoded picture to what a model was trained on: resize and crop in workers that decode, normalisation
constants for engines. The driver reads the config node. Importing it does not import torch.
"""

from actors.preprocess.axes import Axis
from actors.preprocess.choices import (
    ChannelOrder,
    CropOffset,
    Interpolation,
    Layout,
    PadPosition,
    ResizeMode,
    Standardize,
)
from actors.preprocess.config import Preprocess
from actors.preprocess.fitting import fit
from actors.preprocess.normalisation import scale_and_bias

__all__ = [
    "Axis",
    "ChannelOrder",
    "CropOffset",
    "Interpolation",
    "Layout",
    "PadPosition",
    "Preprocess",
    "ResizeMode",
    "Standardize",
    "fit",
    "scale_and_bias",
]
