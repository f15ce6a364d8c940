"""Turns the bytes of one image into pixels, or into the ImageError that says why not.

Runs in the worker, once an image. It is the per-image guard: whatever a decoder raises becomes an ImageError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import simplejpeg
from PIL.Image import DecompressionBombError

from actors import jpeg
from actors.errors import ImageError, JobError
from actors.pillow import decode_with_pillow, find_format


@dataclass
class Decode:
    """Config node ``decode``: what one image may cost. A bigger one becomes a row in ``errors/``."""

    max_pixels: int = 100_000_000
    """Most pixels, height times width, as the header says. Decoding takes up to about 12 bytes of memory for each."""

    max_bytes: int = 256 * 2**20
    """Most bytes of the encoded image; checked before they are read."""

    def check(self) -> None:
        """Raises JobError for a limit that no image can meet."""
        for name, value in vars(self).items():
            if value < 1:
                raise JobError(f"decode.{name}={value}: not above 0", cure="give a number of at least 1")

    def refuse_pixels(self, height: int, width: int) -> None:
        """Raises ImageError where the size is above ``max_pixels``."""
        if height * width > self.max_pixels:
            seen = f"{width} x {height} is {height * width} pixels"
            raise ImageError("decode", "too_large", f"{seen}, more than decode.max_pixels={self.max_pixels}")


def decode(data: bytes, limits: Decode) -> np.ndarray:
    """The image as RGB pixels: uint8 of shape (height, width, 3), C order, writable.

    Orientations 1 to 8 of EXIF (or XMP) are undone, as `PIL.ImageOps.exif_transpose` does; damaged EXIF counts as none.
    Grey is repeated, palettes are looked up, and alpha is dropped without compositing (what torchvision's loader does).
    Grey of more than 8 bits keeps its high byte (value >> 8), and so does RGB of 16 bits. CMYK and YCCK go through
    Pillow's conversion; colour profiles are not applied. Floating point, and integers outside 0 to 65535, are
    refused. Of animations and multi-picture files the first frame is taken.

    Formats: JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, AVIF and ICO, told by content and never by name.
    A JPEG that is damaged inside, yet complete, gives the pixels that Pillow gives.

    Raises ImageError of stage ``decode`` and kind ``empty``, ``too_large``, ``unidentified``, ``unsupported``,
    ``truncated``, ``too_many_scans``, ``corrupt`` or ``out_of_memory``; nothing else.
    """
    try:
        return _decode(data, limits)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError("decode", _kind(error, data), _message(error, data)) from error


def _decode(data: bytes, limits: Decode) -> np.ndarray:
    if not data:
        raise ImageError("decode", "empty", "no bytes")
    if len(data) > limits.max_bytes:
        seen = f"{len(data)} bytes, more than decode.max_bytes={limits.max_bytes}"
        raise ImageError("decode", "too_large", seen)
    is_jpeg = data.startswith(b"\xff\xd8\xff")
    header = jpeg.read_header(data) if is_jpeg else None
    if is_jpeg and (header is None or header.is_multi_scan):
        jpeg.check_markers(data)
    image_hwc = _decode_turbo(data, limits) if header else None
    if header is None or image_hwc is None:
        image_hwc, orientation = decode_with_pillow(data, limits)
    else:
        orientation = header.orientation
    return _upright(image_hwc, orientation)


def _decode_turbo(data: bytes, limits: Decode) -> np.ndarray | None:
    """The pixels by libjpeg-turbo, equal to Pillow's; None for what it cannot do or only with a warning."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in {"Gray", "YCbCr"}:
            return None
        limits.refuse_pixels(height, width)
        return cast("np.ndarray", simplejpeg.decode_jpeg(data, "RGB"))
    except (ValueError, KeyError):  # KeyError: a subsampling that simplejpeg has no name for
        return None


def _upright(image_hwc: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation; a number outside 1 to 8 means nothing."""
    if orientation in {5, 6, 7, 8}:
        image_hwc = image_hwc.transpose(1, 0, 2)
    if orientation in {3, 4, 7, 8}:
        image_hwc = image_hwc[::-1]
    if orientation in {2, 3, 6, 7}:
        image_hwc = image_hwc[:, ::-1]
    return np.ascontiguousarray(image_hwc)


_KINDS_BY_TYPE: tuple[tuple[type[Exception], str], ...] = (
    (MemoryError, "out_of_memory"),
    (DecompressionBombError, "too_large"),
    (EOFError, "truncated"),
    (NotImplementedError, "unsupported"),
)
# Pillow raises OSError, ValueError and SyntaxError for every cause; only their words tell.
_KINDS_BY_WORDS = (
    (
        "truncated",
        re.compile(r"truncated|premature|requires a buffer|only got|not large enough|not enough|no more images"),
    ),
    ("too_large", re.compile(r"too large|exceeds limit")),
    ("unsupported", re.compile(r"unsupported|not (?:yet )?supported|cannot handle|not installed|unknown pixel mode")),
)


def _kind(error: Exception, data: bytes) -> str:
    for error_type, kind in _KINDS_BY_TYPE:
        if isinstance(error, error_type):
            return kind
    words = str(error).lower()
    kind = next((kind for kind, pattern in _KINDS_BY_WORDS if pattern.search(words)), "corrupt")
    return "truncated" if kind == "corrupt" and _points_past_end(data) else kind


def _points_past_end(data: bytes) -> bool:
    """Whether the file is shorter than its first bytes tell: WebP's length, or where a TIFF's directory lies."""
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    order: dict[bytes, Literal["little", "big"]] = {b"II*\x00": "little", b"MM\x00*": "big"}
    return data[:4] in order and int.from_bytes(data[4:8], order[data[:4]]) >= len(data)


def _message(error: Exception, data: bytes) -> str:
    image_format = find_format(data)
    name = f"{image_format.format}: " if image_format else ""
    return f"{name}{error} ({type(error).__name__})"
