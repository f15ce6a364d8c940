"""Formats that Pillow reads with a plug-in: HEIC (`pillow-heif`) and JPEG XL (`pillow-jxl-plugin`). Runs in the worker,
which imports a plug-in on its first image.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, cast

from actors.decoding.jxl_header import read_jxl_header
from actors.errors import ImageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from actors.decoding.config import Decode


def plugin_format(data: bytes, limits: Decode) -> type[ImageFile] | None:
    """Finds Pillow's reader for HEIC or JPEG XL; returns None for all other bytes.

    Raises ImageError: the plug-in is not installed, or the image has too many pixels. The JPEG XL reader decodes on
    opening, so the size is checked here first.
    """
    if is_heif(data):
        return _load("HEIC", "pillow_heif.as_plugin", "HeifImageFile", extra="heif")
    if not _JXL.match(data):
        return None
    header = read_jxl_header(data)
    limits.refuse_pixels(header.height, header.width)
    return _load("JPEG XL", "pillow_jxl.JpegXLImagePlugin", "JXLImageFile", extra="jxl")


def plugin_format_name(data: bytes) -> str:
    """Names the format of bytes that none of Pillow's own readers recognises."""
    return "HEIC" if is_heif(data) else "JPEG XL" if _JXL.match(data) else "image"


def is_heif(data: bytes) -> bool:
    """Returns True if the brands identify an ISO media file with an HEVC image."""
    brands = _brands(data)
    return bool(brands & _HEVC) and not brands & _AV1


def is_avif(data: bytes) -> bool:
    """Returns True if the brands identify an ISO media file with an AV1 image."""
    return bool(_brands(data) & _AV1)


# A bare codestream, or the first box of a file (ISO/IEC 18181-2).
_JXL = re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n", re.DOTALL)
_HEVC = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"))
_AV1 = frozenset((b"avif", b"avis"))
_MAX_BRANDS_BYTES = 1024  # the box's length is not trusted; real files list under ten brands of 4 bytes


def _load(name: str, module: str, reader: str, *, extra: str) -> type[ImageFile]:
    try:
        return cast("type[ImageFile]", getattr(import_module(module), reader))
    except ImportError as error:
        fix = f"pip install 'shardlens[{extra}]' where the workers run"
        raise ImageError("decode", "unsupported", f"{name} needs a plug-in that is not installed: {fix}") from error


def _brands(data: bytes) -> set[bytes]:
    if data[4:8] != b"ftyp":
        return set()
    stop = min(int.from_bytes(data[:4], "big"), _MAX_BRANDS_BYTES, len(data))
    # The major brand, a 4-byte version, then the compatible brands (ISO/IEC 14496-12, 4.3).
    return {data[8:12], *(data[start : start + 4] for start in range(16, stop, 4))}
