"""Resizes that read individual source pixels and skip the others: the nearest pixel, or the nearest few without
antialiasing. Runs in workers, once per image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.preprocess.choices import Interpolation

if TYPE_CHECKING:
    from actors.preprocess.axes import Axis


def resize_nearest(image_hwc: np.ndarray, axes: tuple[Axis, Axis]) -> np.ndarray:
    """Returns the kept part of the resized image; each pixel is the source pixel below its centre, exactly as in
    Pillow.

    Args:
        image_hwc: the rows and columns of the source from ``first`` to ``last`` of the axes.
        axes: rows and columns.
    """
    rows, columns = (_nearest(axis, length) for axis, length in zip(axes, image_hwc.shape, strict=False))
    height, width, _ = image_hwc.shape
    if len(rows) * width <= height * len(columns):  # the smaller copy first, to limit memory
        return image_hwc.take(rows, 0).take(columns, 1)
    return image_hwc.take(columns, 1).take(rows, 0)


def resize_sampling(image_hwc: np.ndarray, axes: tuple[Axis, Axis], interpolation: Interpolation) -> np.ndarray:
    """Returns the kept part of the resized image, as torchvision computes it from uint8 tensors with
    ``antialias=False``.

    Args:
        image_hwc: the rows and columns of the source from ``first`` to ``last`` of the axes, uint8.
        axes: rows and columns.
        interpolation: bilinear or bicubic.

    Returns:
        uint8 (height, width, 3).
    """
    taps = _linear_taps if interpolation is Interpolation.bilinear else _cubic_taps
    rows, columns = (taps(axis, length) for axis, length in zip(axes, image_hwc.shape, strict=False))
    needed, places = np.unique(rows.pixels, return_inverse=True)
    lines = image_hwc.take(needed, 0)
    across = np.zeros((len(needed), columns.pixels.shape[1] * 3), np.float32)
    for pixels, weights in zip(columns.pixels, columns.weights, strict=True):
        across += lines.take(pixels, 1).reshape(len(needed), -1) * weights.repeat(3)
    across = _to_bytes(across)  # PyTorch rounds between its passes
    total = np.zeros((rows.pixels.shape[1], across.shape[1]), np.float32)
    for numbers, weights in zip(places.reshape(rows.pixels.shape), rows.weights, strict=True):
        total += across.take(numbers, 0) * weights[:, None]
    return _to_bytes(total).reshape(len(total), -1, 3)


_MOST_SUMMED = 1 << 20  # pixels of a resized axis; beyond this, the sums would need too much memory


def _nearest(axis: Axis, length: int) -> np.ndarray:
    """Returns source pixels, counted from ``first``."""
    if axis.stop <= _MOST_SUMMED:
        # Pillow sums the scale, which decides if a centre falls between two pixels.
        steps = np.full(axis.stop, axis.scale)
        steps[0] /= 2
        places = np.cumsum(steps)[axis.start :]
    else:
        places = (np.arange(axis.start, axis.stop) + 0.5) * axis.scale
    return (places.astype(int) - axis.first).clip(0, length - 1)


class _Taps(NamedTuple):
    """The pixels that each kept pixel reads, one row per tap, counted from ``first``, and their weights, float32."""

    pixels: np.ndarray
    weights: np.ndarray


def _linear_taps(axis: Axis, length: int) -> _Taps:
    first, share = _first(axis)
    return _taps(first, [1 - share, share], length)


def _cubic_taps(axis: Axis, length: int) -> _Taps:
    """Returns taps of R. Keys' kernel with a = -0.75, as in PyTorch and OpenCV."""
    first, share = _first(axis)
    a = -0.75
    near, far = np.stack([share, 1 - share]), np.stack([share + 1, 2 - share])
    inner = ((a + 2) * near - (a + 3)) * near * near + 1
    outer = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    return _taps(first - 1, [outer[0], inner[0], inner[1], outer[1]], length)


def _first(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Returns the source pixel at or before the centre of each kept pixel, and the distance between the two."""
    places = (np.arange(axis.start, axis.stop) + 0.5) * axis.scale - 0.5 - axis.first
    first = np.floor(places)
    return first.astype(int), places - first


def _taps(first: np.ndarray, weights: list[np.ndarray], length: int) -> _Taps:
    pixels = (first + np.arange(len(weights))[:, None]).clip(0, length - 1)  # beyond the edge, the edge pixel repeats
    return _Taps(pixels, np.stack(weights).astype(np.float32))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = np.floor(values + 0.5).clip(0, 255).astype(np.uint8)  # halves round up, as in PyTorch
    return pixels
