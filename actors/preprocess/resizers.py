"""Resizes that average all source pixels, like Pillow: with SIMD if cykooz.resizer has wheels, otherwise with Pillow
itself. Runs in workers, once per image.
"""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from actors.preprocess.choices import Interpolation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.preprocess.axes import Axis

# The platforms for which cykooz.resizer has wheels, as in pyproject.toml. Others use Pillow.
_HAS_SIMD = sys.platform != "linux" or platform.machine() == "x86_64"
if _HAS_SIMD:
    from cykooz_resizer import Algorithm, FilterType, PixelType
    from cykooz_resizer.rust_lib import Image as RustImage
    from cykooz_resizer.rust_lib import RustResizeOptions, RustResizer


def resize_averaging(image_hwc: np.ndarray, axes: tuple[Axis, Axis], interpolation: Interpolation) -> np.ndarray:
    """Returns the kept part of the resized image: uint8 (height, width, 3).

    Args:
        image_hwc: the rows and columns of the source from ``first`` to ``last`` of the axes, uint8.
        axes: rows and columns.
        interpolation: any but nearest.
    """
    rows, columns = axes
    # Pillow rounds to 8 bits between passes, so their order matters; this is its rule since version 13.
    is_vertical_first = rows.source - rows.length > 2 * max(0, columns.source - columns.length)
    passes = _passes(image_hwc, axes, (0, 1) if is_vertical_first else (1, 0))
    resize = _resize_with_simd if _HAS_SIMD and interpolation in _KERNELS else _resize_with_pillow
    return resize(image_hwc, passes, interpolation)


class _Pass(NamedTuple):
    """Resize along one axis: a box of the source, which may cut pixels, becomes an image of ``size``."""

    size: tuple[int, int]  # height, width
    box: tuple[float, float, float, float]  # left, top, right, bottom


def _passes(image_hwc: np.ndarray, axes: tuple[Axis, Axis], order: tuple[int, int]) -> list[_Pass]:
    """Returns a pass for each axis whose length changes: 0 for rows, 1 for columns."""
    size = list(image_hwc.shape[:2])
    passes = []
    for number in order:
        axis = axes[number]
        if axis.source != axis.length:
            box = [0.0, 0.0, size[1], size[0]]
            box[1 - number], box[3 - number] = axis.box
            size[number] = axis.stop - axis.start
            passes.append(_Pass((size[0], size[1]), (box[0], box[1], box[2], box[3])))
    return passes


def _resize_with_simd(image_hwc: np.ndarray, passes: Sequence[_Pass], interpolation: Interpolation) -> np.ndarray:
    """Does the same as `_resize_with_pillow` in a third of the time. Integer arithmetic: equal pixels on all CPUs."""
    kernel = FilterType[_KERNELS[interpolation]].value
    options = RustResizeOptions().set_resize_alg(Algorithm.convolution.value, kernel, 0)
    height, width, channels = image_hwc.shape
    resizer, rgb = RustResizer(), PixelType.U8x3.value
    resized = RustImage(width, height, rgb, image_hwc.tobytes())
    for (height, width), (left, top, right, bottom) in passes:
        source, resized = resized, RustImage(width, height, rgb, None)
        resizer.resize(source, resized, options.set_crop_box(left, top, right - left, bottom - top))
    return np.frombuffer(resized.buffer(), np.uint8).reshape(height, width, channels)


# Pillow's bicubic is the Catmull-Rom spline. The two boxes differ if their edge falls between two pixels.
_KERNELS = {
    Interpolation.bilinear: "bilinear",
    Interpolation.bicubic: "catmull_rom",
    Interpolation.lanczos: "lanczos3",
}


def _resize_with_pillow(image_hwc: np.ndarray, passes: Sequence[_Pass], interpolation: Interpolation) -> np.ndarray:
    resample = Image.Resampling[interpolation.name.upper()]
    image = Image.fromarray(image_hwc)
    for (height, width), box in passes:
        image = image.resize((width, height), resample, box)
    return np.asarray(image)
