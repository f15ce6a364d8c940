"""PNG files of class maps, written directly: 8-bit palette, or 16-bit grey. Runs in the predictor."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def encode_png(class_map_hw: np.ndarray) -> bytes:
    """Encodes a class map, uint8 or uint16 (height, width), each at least 1.

    uint8 becomes a palette image whose pixels are the classes and whose colours are those of PASCAL VOC; uint16 becomes
    a grey image. Rows are stored as differences from the row above, and deflate encodes runs only: on class maps, this
    is smaller and faster than its search for matches.
    """
    height, width = class_map_hw.shape
    is_palette = class_map_hw.dtype == np.uint8
    depth, colour = (8, 3) if is_palette else (16, 0)
    chunks = [
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        _chunk(b"PLTE", PALETTE.tobytes()) if is_palette else b"",
        _chunk(b"IDAT", _pixels(class_map_hw)),
        _chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _voc_palette() -> np.ndarray:
    """Makes bits 0, 3 and 6 of a class the highest bits of red, bits 1, 4 and 7 of green, and bits 2 and 5 of blue."""
    classes = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= ((classes >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours


PALETTE = _voc_palette()
"""Red, green and blue of each class, uint8 (256, 3): the colour map of PASCAL VOC, including its label files."""


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


_STRIP_BYTES = 1 << 20
_UP = 2  # filter: the difference from the row above


def _pixels(class_map_hw: np.ndarray) -> bytes:
    deflate = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    row_bytes = class_map_hw.shape[1] * class_map_hw.itemsize
    above, pieces = np.zeros((1, row_bytes), np.uint8), []
    for first in range(0, len(class_map_hw), step := max(1, _STRIP_BYTES // row_bytes)):
        strip = class_map_hw[first : first + step]
        big_endian = strip.astype(strip.dtype.newbyteorder(">")).view(np.uint8).reshape(len(strip), row_bytes)
        lines = np.concatenate([above, big_endian])
        filtered = np.full((len(strip), row_bytes + 1), _UP, np.uint8)
        np.subtract(lines[1:], lines[:-1], out=filtered[:, 1:])
        pieces.append(deflate.compress(filtered.data))
        above = lines[-1:]
    return b"".join([*pieces, deflate.flush()])
