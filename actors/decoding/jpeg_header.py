"""Reads the markers of a JPEG before decoding: its orientation, and the cost of decoding it.

Runs in the worker, on unchecked bytes: trusts no length, offset or count in them.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SCANS = 100  # encoders write up to about 20; each takes the decoder a pass over the whole image
MAX_SEGMENTS = 1000  # long profiles and depth maps take a few hundred; Pillow's time grows with the square

# To undo an orientation: swap the axes for these, then reverse the rows for these, then the columns for these.
TRANSPOSED = frozenset((5, 6, 7, 8))
UPSIDE_DOWN = frozenset((3, 4, 7, 8))
MIRRORED = frozenset((2, 3, 6, 7))
TURNED = TRANSPOSED | UPSIDE_DOWN | MIRRORED


@dataclass(frozen=True, slots=True)
class Header:
    """Facts that precede the first scan.

    Attributes:
        orientation: from EXIF or else XMP, as written; 1 if both lack it.
        is_multi_scan: more than one scan may follow: the frame is progressive, or its components are separate.
    """

    orientation: int
    is_multi_scan: bool


def read_header(jpeg: bytes) -> Header | None:
    """Reads the header of a JPEG with a common layout; returns None for others, which Pillow may still understand."""
    try:
        return _read_header(jpeg)
    except struct.error:  # the data ends early
        return None


def check_markers(jpeg: bytes) -> None:
    """Scans the whole file like libjpeg, skipping junk, and rejects files that would block a worker for long.

    Raises ImageError: ``too_many_scans``, ``corrupt`` (too many segments), ``truncated`` (no scan at all).
    """
    num_scans = 0
    for num_segments, (marker, _) in enumerate(_markers(jpeg), 1):
        if marker == _END_OF_IMAGE:
            break
        num_scans += marker == _START_OF_SCAN
        if num_scans > MAX_SCANS:
            raise ImageError("decode", "too_many_scans", f"the JPEG has more than {MAX_SCANS} scans")
        if num_segments > MAX_SEGMENTS:
            raise ImageError("decode", "corrupt", f"the JPEG has more than {MAX_SEGMENTS} segments")
    if not num_scans:
        raise ImageError("decode", "truncated", "the JPEG ends before its first scan")


def plain_start(jpeg: bytes) -> bytes | None:
    """Returns a plain JPEG up to its coded data, turned into a JPEG of 8 by 8 missing pixels.

    Decoding it takes no time, and fails if the tables would make the whole image fail. Returns None unless the JPEG is
    plain: a single scan with 8 bits per sample, complete with its end marker.
    """
    frame = 0
    markers = _markers(jpeg)
    for marker, content in markers:
        if marker[1] in _FRAMES:
            frame = content
        if marker == _START_OF_SCAN:
            is_plain = frame and jpeg[frame] == _BITS and next(markers, (b"", 0))[0] == _END_OF_IMAGE
            coded = content - 2 + int.from_bytes(jpeg[content - 2 : content], "big")
            sized = jpeg[: frame + 1] + _TINY + jpeg[frame + 5 : coded]
            return sized + _END_OF_IMAGE if is_plain else None
    return None


def with_end(jpeg: bytes) -> bytes | None:
    """Adds a missing end marker to a single-scan JPEG, replacing anything after the coded data; returns None for a JPEG
    without a scan or with an end marker.

    Cameras write trailers without it, and transfers lose the last bytes. Decoding shows whether pixels are missing.
    """
    markers = _markers(jpeg)
    if not any(marker == _START_OF_SCAN for marker, _ in markers):
        return None
    marker, content = next(markers, (b"", len(jpeg) + 4))
    return None if marker == _END_OF_IMAGE else jpeg[: content - 4] + _END_OF_IMAGE


# In coded data 0xff precedes 0 or a restart marker; these, padding, TEM and SOI have no length field.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_START_OF_SCAN = b"\xff\xda"
_END_OF_IMAGE = b"\xff\xd9"

_BITS = 8
_TINY = b"\x00\x08\x00\x08"  # height and width as in a frame header

_APP1, _SOS = 0xE1, 0xDA
_FRAMES = {0xC0: False, 0xC1: False, 0xC2: True}  # baseline, extended, progressive; others are rare
_NO_SEGMENT = frozenset((0x00, 0x01, *range(0xD0, 0xDA), 0xFF))
_EXIF = b"Exif\x00\x00"
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_ORIENTATION_TAG = 0x0112
_SHORT = 3  # EXIF's 16-bit number


def _markers(jpeg: bytes) -> Iterator[tuple[bytes, int]]:
    """Yields each marker and the offset of its segment's content, skipping coded data and junk."""
    position = 2
    while match := _MARKER.search(jpeg, position):
        content = match.end() + 2
        yield match[0], content
        length = int.from_bytes(jpeg[match.end() : content], "big")
        position = match.end() + max(length, 2)


def _read_header(jpeg: bytes) -> Header | None:
    exif = xmp = b""
    num_components, is_progressive = 0, False
    position = 2
    for _ in range(MAX_SEGMENTS):
        prefix, marker, length = struct.unpack_from(">BBH", jpeg, position)
        if prefix != 0xFF or marker in _NO_SEGMENT:  # noqa: PLR2004  the start of every marker
            return None
        start, position = position + 4, position + 2 + length
        if marker == _SOS:
            is_multi_scan = is_progressive or jpeg[start : start + 1] != bytes([num_components])
            return _header(exif, xmp, is_multi_scan=is_multi_scan) if num_components else None
        if marker in _FRAMES:
            if num_components:
                return None
            num_components, is_progressive = struct.unpack_from("B", jpeg, start + 5)[0], _FRAMES[marker]
        elif marker == _APP1:
            if jpeg.startswith(_EXIF, start):
                exif += jpeg[start + (len(_EXIF) if exif else 0) : position]
            elif jpeg.startswith(_XMP, start):
                xmp = jpeg[start:position]
    return None


def _header(exif: bytes, xmp: bytes, *, is_multi_scan: bool) -> Header | None:
    orientation = _exif_orientation(exif[len(_EXIF) :]) if exif else 0
    if orientation is None:
        return None
    if not orientation:
        match = _XMP_ORIENTATION.search(xmp)
        orientation = int(match[1]) if match else 1
    return Header(orientation, is_multi_scan)


def _exif_orientation(tiff: bytes) -> int | None:
    """Returns the orientation tag; 0 if the directory lacks it; None for an unusual directory."""
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None:
        return None
    (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
    (num_entries,) = struct.unpack_from(f"{order}H", tiff, directory)
    for entry in range(num_entries):
        tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * entry)
        if tag == _ORIENTATION_TAG:
            return (value or 1) if kind == _SHORT and count == 1 else None
    return 0
