"""Small pictures for pages and notebooks: upright, with the model's answer drawn over them. Made where pages are."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from actors.decoding.decode import decode_scaled
from actors.pictures.drawing import draw

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from actors.decoding.config import Decode

SIDE = 128
"""Pixels of the longer side."""


def thumbnail(data: bytes, limits: Decode, row: Mapping[str, Any] | None = None, *, side: int = SIDE) -> bytes:
    """A WebP file of 2 to 5 kB for 128 pixels, with the boxes and masks of ``row`` drawn over the image.

    Args:
        data: an encoded image.
        limits: as for `decode`; a large JPEG is decoded at a part of its size if they say so.
        row: the image's published row, as plain values.
        side: pixels of the longer side, if the image has as many.

    Raises:
        ImageError: the image cannot be decoded.
    """
    image = shrink(decode_scaled(data, limits, lambda *size_hw: _asked(size_hw, side)).image_hwc, side)
    return encode(draw(image, row) if row else image)


def shrink(image_hwc: np.ndarray, side: int = SIDE) -> Image.Image:
    """RGB pixels, uint8 (height, width, 3), as a picture that fits into a square of ``side`` pixels."""
    image = Image.fromarray(image_hwc)
    size = within(image.size, side)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def encode(image: Image.Image) -> bytes:
    """Encodes a picture as WebP."""
    file = BytesIO()
    # Slower methods save 5 % of the bytes, and take three times as long.
    image.save(file, "WEBP", quality=_QUALITY, method=1, lossless=max(image.size) <= _TINY)
    return file.getvalue()


def data_uri(webp: bytes) -> str:
    """A WebP file as the source of an image in a page."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def within(size: tuple[int, int], side: int, *, enlarge: bool = False) -> tuple[int, int]:
    """Width and height that fit into a square of ``side`` pixels, in the proportions of ``size``."""
    scale = side / max(size) if enlarge else min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


_QUALITY = 60
_TINY = 32  # pixels of a side; a page enlarges such images, and with them what compression does to them
_MARGIN = 2.0  # `decode_scaled` leaves three times the size asked for, as a model needs; a thumbnail does with 1.5


def _asked(size_hw: tuple[int, int], side: int) -> tuple[int, int]:
    """The size to ask `decode_scaled` for, given that of the whole image."""
    width, height = within((size_hw[1], size_hw[0]), side)
    return max(1, round(height / _MARGIN)), max(1, round(width / _MARGIN))
