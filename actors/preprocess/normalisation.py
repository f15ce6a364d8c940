"""Normalisation constants, from which each engine builds its first layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from actors.preprocess.config import Preprocess


def scale_and_bias(preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """Returns two float32 arrays of shape (channels,), in the model's channel order, such that ``pixel * scale + bias``
    is ``(pixel * rescale_factor - mean) / std``.
    """
    mean, std = np.asarray(preprocess.mean, np.float64), np.asarray(preprocess.std, np.float64)
    levels = 1 / preprocess.rescale_factor  # exactly 255 by default
    return (1 / (levels * std)).astype(np.float32), (-mean / std).astype(np.float32)


# Pillow's grey is (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16. All sums stay below 2**24, so float32
# computes it exactly, in any order.
GREY_WEIGHTS = np.array([19595, 38470, 7471], np.float32)
GREY_HALF, GREY_SCALE = 32768.0, 1 / 65536


def least_deviation(preprocess: Preprocess) -> float:
    """Returns the smallest divisor of tf.image.per_image_standardization: 1 / sqrt(number of values in an image)."""
    height, width = preprocess.size
    return float(1 / np.sqrt(height * width * preprocess.channels))
