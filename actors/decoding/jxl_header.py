"""Reads the size and orientation of a JPEG XL from its first bits, before decoding. Runs in the worker, on unchecked
bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.errors import ImageError


class JxlHeader(NamedTuple):
    """The first fields of a JPEG XL codestream."""

    height: int
    width: int
    orientation: int
    """EXIF orientation, which the decoder undoes."""


def read_jxl_header(data: bytes) -> JxlHeader:
    """Reads the size and orientation from the codestream (ISO/IEC 18181-1, annex A.3 and A.6).

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


# Ratio of width to height, selected by the three bits after the height.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS = (9, 13, 18, 30)  # lengths of a size field, selected by two bits


def _codestream(data: bytes) -> bytes:
    """Returns the bytes after the two-byte signature of a bare codestream or of the first box with one."""
    if data.startswith(b"\xff\x0a"):
        return data[2:]
    position = 0
    while position + 8 <= len(data):
        size, kind, start = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8], 8
        if size == 1:
            size, start = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            start += 4 * (kind == b"jxlp")  # the index of a partial codestream
            return data[position + start + 2 : position + start + 2 + _HEADER_BYTES]
        if size < start:
            break
        position += size
    raise ImageError("decode", "truncated", "the JPEG XL file has no codestream")


_HEADER_BYTES = 64  # more than the fields read here can take


class _Bits:
    """Reads bits from bytes, least significant first."""

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
