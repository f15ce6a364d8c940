"""Formats that Pillow reads with a plug-in: HEIC (`pillow-heif`) and JPEG XL (`pillow-jxl-plugin`). Runs in the worker;
a plug-in is imported when the first such image is met.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

from actors.errors import ImageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from actors.decode import Decode


class JxlHeader(NamedTuple):
    """What stands first in a JPEG XL codestream."""

    height: int
    width: int
    orientation: int
    """As EXIF counts them; the decoder has undone it already."""


def plugin_format(data: bytes, limits: Decode) -> type[ImageFile] | None:
    """Pillow's reader for HEIC or JPEG XL; None for all other bytes.

    Raises ImageError: the plug-in is not installed, or the image has too many pixels. The one for JPEG XL decodes as it
    opens a file, so the size is read here first.
    """
    if is_heif(data):
        return _load("HEIC", "pillow_heif.as_plugin", "HeifImageFile", extra="heif")
    if not _JXL.match(data):
        return None
    header = read_jxl_header(data)
    limits.refuse_pixels(header.height, header.width)
    return _load("JPEG XL", "pillow_jxl.JpegXLImagePlugin", "JXLImageFile", extra="jxl")


def plugin_format_name(data: bytes) -> str:
    """What the format of bytes that no reader of Pillow's own knows is called."""
    return "HEIC" if is_heif(data) else "JPEG XL" if _JXL.match(data) else "image"


def is_heif(data: bytes) -> bool:
    """Whether an ISO media file holds an image coded with HEVC, by the brands that it lists."""
    brands = _brands(data)
    return bool(brands & _HEVC) and not brands & _AV1


def is_avif(data: bytes) -> bool:
    """Whether an ISO media file holds an image coded with AV1, by the brands that it lists."""
    return bool(_brands(data) & _AV1)


def read_jxl_header(data: bytes) -> JxlHeader:
    """Size and orientation from the first bits of the codestream (ISO/IEC 18181-1, annex A.3 and A.6).

    Raises ImageError of kind ``truncated`` or ``corrupt``.
    """
    bits = _Bits(_codestream(data))
    is_small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if is_small else _size(bits)
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio - 1]
        width = height * numerator // denominator
    else:
        width = 8 * (bits.take(5) + 1) if is_small else _size(bits)
    has_more = not bits.take(1) and bits.take(1)
    return JxlHeader(height, width, bits.take(3) + 1 if has_more else 1)


_JXL = re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n", re.DOTALL)
_HEVC = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"))
_AV1 = frozenset((b"avif", b"avis"))
_MAX_BRANDS_BYTES = 1024
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS = (9, 13, 18, 30)


def _load(name: str, module: str, reader: str, *, extra: str) -> type[ImageFile]:
    try:
        return cast("type[ImageFile]", getattr(import_module(module), reader))
    except ImportError as error:
        cure = f"pip install 'shardlens[{extra}]' where the workers run"
        raise ImageError("decode", "unsupported", f"{name} takes a plug-in that is not installed: {cure}") from error


def _brands(data: bytes) -> set[bytes]:
    if data[4:8] != b"ftyp":
        return set()
    stop = min(int.from_bytes(data[:4], "big"), _MAX_BRANDS_BYTES, len(data))
    return {data[8:12], *(data[start : start + 4] for start in range(16, stop, 4))}


def _codestream(data: bytes) -> bytes:
    """What follows the two bytes of the signature, in a bare codestream or in the first box that holds one."""
    if data.startswith(b"\xff\x0a"):
        return data[2:]
    position = 0
    while position + 8 <= len(data):
        size, kind, start = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8], 8
        if size == 1:
            size, start = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            start += 4 * (kind == b"jxlp")  # the number of the piece
            return data[position + start + 2 : position + start + 2 + _HEADER_BYTES]
        if size < start:
            break
        position += size
    raise ImageError("decode", "truncated", "the JPEG XL file has no codestream")


_HEADER_BYTES = 64


class _Bits:
    """Reads bits of bytes, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data[:_HEADER_BYTES], "little")
        self._left = 8 * min(len(data), _HEADER_BYTES)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ImageError("decode", "truncated", "the JPEG XL file ends within its header")
        found = self._bits & ((1 << count) - 1)
        self._bits >>= count
        self._left -= count
        return found


def _size(bits: _Bits) -> int:
    return bits.take(_SIZE_BITS[bits.take(2)]) + 1
