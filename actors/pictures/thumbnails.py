"""Small pictures for pages and notebooks: upright, with predictions drawn over them. Runs where pages are built."""

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
"""Length of the longer side in pixels."""


def thumbnail(data: bytes, limits: Decode, row: Mapping[str, Any] | None = None, *, side: int = SIDE) -> bytes:
    """Returns a WebP file, 2 to 5 kB at 128 pixels, with the boxes and masks of ``row`` drawn over the image.

    Args:
        data: an encoded image.
        limits: see `decode`; a large JPEG is decoded scaled down if they allow it.
        row: the image's published row, as plain values.
        side: length of the longer side in pixels, if the image is large enough.

    Raises:
        ImageError: the image cannot be decoded.
    """
    image = shrink(decode_scaled(data, limits, lambda *size_hw: _asked(size_hw, side)).image_hwc, side)
    return encode(draw(image, row) if row else image)


def shrink(image_hwc: np.ndarray, side: int = SIDE) -> Image.Image:
    """Shrinks RGB pixels, uint8 (height, width, 3), to fit into a square of ``side`` pixels."""
    image = Image.fromarray(image_hwc)
    size = within(image.size, side)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def encode(image: Image.Image) -> bytes:
    """Encodes a picture as WebP."""
    file = BytesIO()
    # Slower methods save 5 % of the bytes but take three times as long.
    image.save(file, "WEBP", quality=_QUALITY, method=1, lossless=max(image.size) <= _TINY)
    return file.getvalue()


def data_uri(webp: bytes) -> str:
    """Returns a WebP file as a data URI for an image in a page."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def within(size: tuple[int, int], side: int, *, enlarge: bool = False) -> tuple[int, int]:
    """Returns the width and height that fit into a square of ``side`` pixels, with the aspect ratio of ``size``."""
    scale = side / max(size) if enlarge else min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


_QUALITY = 60
_TINY = 32  # pixels per side; a page enlarges such images and their compression artefacts
_MARGIN = 2.0  # `decode_scaled` leaves three times the requested size, for models; 1.5 suffices for a thumbnail


def _asked(size_hw: tuple[int, int], side: int) -> tuple[int, int]:
    """Returns the size to request from `decode_scaled`, given the full-size image's."""
    width, height = within((size_hw[1], size_hw[0]), side)
    return max(1, round(height / _MARGIN)), max(1, round(width / _MARGIN))
