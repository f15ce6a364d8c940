"""Decodes JPEGs through libjpeg-turbo, whole or scaled down; what it cannot do is left to Pillow.

Runs in the worker, under the guard of decode.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import simplejpeg

from actors.decoding import jpeg_header

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from actors.decoding.config import Decode


def decode_with_turbo(
    data: bytes,
    limits: Decode,
    orientation: int,
    resized: Callable[[int, int], tuple[int, int]] | None,
    *,
    accept_truncated: bool = False,
) -> tuple[np.ndarray, tuple[int, int], int] | None:
    """Decodes a JPEG as stored; None for one that libjpeg-turbo cannot decode, or only with a warning.

    Pixels of an image that is not scaled down equal Pillow's.

    Args:
        data: a JPEG.
        limits: hold for the size of the whole image.
        orientation: the image's, as EXIF counts them. Nothing is turned yet.
        resized: gives the size that an image of this height and width, right way up, will be resized to; it may then
            be scaled down, by the rules of `actors.decoding.decode.decode_scaled`. None for the whole image.
        accept_truncated: accept warnings of libjpeg-turbo, such as for missing pixels, which it makes grey.

    Returns:
        The pixels, uint8 (height, width, 3); the height and width of the whole image; and how many times smaller it was
        decoded.
    """
    size = stored_size(data)
    if size is None:
        return None
    height, width = size
    limits.refuse_pixels(height, width)
    divisor = _divisor(height, width, orientation, resized) if resized else 1
    try:
        return _decode(data, height, width, divisor, strict=not accept_truncated), size, divisor
    except ValueError:
        return None


def stored_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG in grey or YCbCr; None for what libjpeg-turbo cannot do."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, KeyError):  # KeyError: a subsampling that simplejpeg has no name for
        return None
    return (int(height), int(width)) if colours in {"Gray", "YCbCr"} else None


def has_sound_tables(start: bytes) -> bool:
    """Whether libjpeg-turbo finds nothing wrong with this `jpeg_header.plain_start` but that its pixels are missing."""
    try:
        simplejpeg.decode_jpeg(start, "RGB")
    except ValueError as error:
        return "premature end" in str(error)  # it is told of a fatal error, or else of the first thing that is odd
    return True


# Only these have fast code in libjpeg-turbo; 3/8 takes longer than 1/2.
_DIVISORS = (8, 4, 2)
# How many times the resized size must be left: at 1.4 fine stripes came out with three times their contrast.
_MARGIN = 3.0
_LEAST_SIDE = 8  # of a smaller one, two scales can give the same size, and simplejpeg tells them apart by size


def _divisor(height: int, width: int, orientation: int, resized: Callable[[int, int], tuple[int, int]]) -> int:
    """How many times smaller the image may be decoded."""
    if orientation in jpeg_header.TRANSPOSED:
        height, width = width, height
    needed_height, needed_width = resized(height, width)
    for divisor in _DIVISORS:
        least_height = max(_MARGIN * divisor * needed_height, _LEAST_SIDE)
        least_width = max(_MARGIN * divisor * needed_width, _LEAST_SIDE)
        is_enough = height >= least_height and width >= least_width
        # Turned, a pixel that the image ends within would come first; `fit` takes the first ones for whole.
        rows_divide = orientation not in jpeg_header.UPSIDE_DOWN or height % divisor == 0
        columns_divide = orientation not in jpeg_header.MIRRORED or width % divisor == 0
        if is_enough and rows_divide and columns_divide:
            return divisor
    return 1


def _decode(data: bytes, height: int, width: int, divisor: int, *, strict: bool) -> np.ndarray:
    if divisor == 1:
        return cast("np.ndarray", simplejpeg.decode_jpeg(data, "RGB", strict=strict))
    # Of all the sizes that libjpeg-turbo offers, simplejpeg takes the smallest that is at least so large.
    least_height, least_width = math.ceil(height / divisor), math.ceil(width / divisor)
    size = {"min_height": least_height, "min_width": least_width}
    return cast("np.ndarray", simplejpeg.decode_jpeg(data, "RGB", strict=strict, **size))
