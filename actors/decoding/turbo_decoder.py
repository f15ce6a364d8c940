"""Decodes JPEGs through libjpeg-turbo, at full size or scaled down; leaves the rest to Pillow.

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
    """Decodes a JPEG as stored; returns None if libjpeg-turbo fails or warns.

    Unless scaled down, pixels equal Pillow's.

    Args:
        data: a JPEG.
        limits: apply to the full size.
        orientation: EXIF orientation, which the caller undoes.
        resized: maps the height and width of the upright image to its resized height and width; the image may then be
            scaled down by the rules of `actors.decoding.decode.decode_scaled`. None decodes at full size.
        accept_truncated: accepts libjpeg-turbo's warnings, such as for missing pixels, which it makes grey.

    Returns:
        The pixels, uint8 (height, width, 3); the height and width of the whole image; and the divisor by which it was
            scaled down.
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
    """Returns the height and width of a grey or YCbCr JPEG; None if libjpeg-turbo cannot decode it."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, KeyError):  # KeyError: a subsampling unknown to simplejpeg
        return None
    return (int(height), int(width)) if colours in {"Gray", "YCbCr"} else None


def has_sound_tables(start: bytes) -> bool:
    """Returns True if missing pixels are all that libjpeg-turbo finds wrong with this `jpeg_header.plain_start`."""
    try:
        simplejpeg.decode_jpeg(start, "RGB")
    except ValueError as error:
        return "premature end" in str(error)  # a fatal error, or else the first warning
    return True


# The scales with fast code in libjpeg-turbo; 3/8 takes longer than 1/2.
_DIVISORS = (8, 4, 2)
# Minimum ratio of the scaled size to the resized size: at 1.4, fine stripes tripled in contrast.
_MARGIN = 3.0
_LEAST_SIDE = 8  # below, two scales can yield the same size, by which simplejpeg selects the scale


def _divisor(height: int, width: int, orientation: int, resized: Callable[[int, int], tuple[int, int]]) -> int:
    """Returns the divisor by which the image may be scaled down."""
    if orientation in jpeg_header.TRANSPOSED:
        height, width = width, height
    needed_height, needed_width = resized(height, width)
    for divisor in _DIVISORS:
        least_height = max(_MARGIN * divisor * needed_height, _LEAST_SIDE)
        least_width = max(_MARGIN * divisor * needed_width, _LEAST_SIDE)
        is_enough = height >= least_height and width >= least_width
        # A partly covered last pixel would come first after reversal, but `fit` expects it last.
        rows_divide = orientation not in jpeg_header.UPSIDE_DOWN or height % divisor == 0
        columns_divide = orientation not in jpeg_header.MIRRORED or width % divisor == 0
        if is_enough and rows_divide and columns_divide:
            return divisor
    return 1


def _decode(data: bytes, height: int, width: int, divisor: int, *, strict: bool) -> np.ndarray:
    if divisor == 1:
        return cast("np.ndarray", simplejpeg.decode_jpeg(data, "RGB", strict=strict))
    # simplejpeg picks libjpeg-turbo's smallest size that is at least this large.
    least_height, least_width = math.ceil(height / divisor), math.ceil(width / divisor)
    size = {"min_height": least_height, "min_width": least_width}
    return cast("np.ndarray", simplejpeg.decode_jpeg(data, "RGB", strict=strict, **size))
