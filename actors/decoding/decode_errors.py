"""Converts image decoders' exceptions to an ImageError. Runs in the worker."""

from __future__ import annotations

import re
from typing import Literal

from PIL.Image import DecompressionBombError

from actors.decoding.pillow_decoder import find_format
from actors.decoding.pillow_plugins import plugin_format_name
from actors.errors import ImageError


def image_error(error: Exception, data: bytes) -> ImageError:
    """Describes why a decoder raised ``error`` for ``data``."""
    return ImageError("decode", _kind(error, data), _message(error, data))


_KINDS_BY_TYPE: tuple[tuple[type[Exception], str], ...] = (
    (MemoryError, "out_of_memory"),
    (DecompressionBombError, "too_large"),
    (EOFError, "truncated"),
    (NotImplementedError, "unsupported"),
)
# Pillow raises OSError, ValueError and SyntaxError for any cause; only the message tells them apart.
_KINDS_BY_WORDS = (
    (
        "truncated",
        re.compile(r"truncated|premature|requires a buffer|only got|not large enough|not enough|no more images"),
    ),
    ("too_large", re.compile(r"too large|exceeds limit")),
    (
        "unsupported",
        re.compile(r"unsupported|not (?:yet )?supported|cannot handle|not installed|unknown (?:pixel|raw) mode"),
    ),
)


def _kind(error: Exception, data: bytes) -> str:
    for error_type, kind in _KINDS_BY_TYPE:
        if isinstance(error, error_type):
            return kind
    words = str(error).lower()  # readers disagree on capitals
    kind = next((kind for kind, pattern in _KINDS_BY_WORDS if pattern.search(words)), "corrupt")
    # Decoders report many truncated files as corrupt; the lengths in the header are more reliable.
    return "truncated" if kind == "corrupt" and _points_past_end(data) else kind


def _points_past_end(data: bytes) -> bool:
    """Returns True if the file is shorter than its header states: WebP's length, or the offset of a TIFF directory."""
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    order: dict[bytes, Literal["little", "big"]] = {b"II*\x00": "little", b"MM\x00*": "big"}
    return data[:4] in order and int.from_bytes(data[4:8], order[data[:4]]) >= len(data)


def _message(error: Exception, data: bytes) -> str:
    image_format = find_format(data)
    name = image_format.format if image_format else plugin_format_name(data)
    return f"{name}: {error} ({type(error).__name__})"
