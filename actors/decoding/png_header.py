"""Strips a PNG of chunks that do not affect its pixels, for files whose texts or profiles fail to parse. Runs in the
worker, on unchecked bytes.
"""

from __future__ import annotations

import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def without_texts(png: bytes) -> bytes:
    """Keeps only the critical chunks, transparency and orientation of ``png``, unchanged.

    A text or profile may be longer than Pillow accepts, or have a wrong checksum. libpng skips these, too.
    """
    kept, position = [SIGNATURE], len(SIGNATURE)
    while position + _FRAME <= len(png):
        stop = position + _FRAME + int.from_bytes(png[position : position + 4], "big")
        kind = png[position + 4 : position + 8]
        # A capital marks a critical chunk (PNG, 5.4). Only an undamaged eXIf counts: it may turn the image.
        if kind[:1].isupper() or kind in _KEPT or (kind == b"eXIf" and _is_sound(png[position:stop])):
            kept.append(png[position:stop])
        position = stop
        if kind == b"IEND":
            break
    return b"".join(kept)


_FRAME = 12  # bytes of length, kind and checksum around the data of a chunk
_KEPT = frozenset((b"tRNS",))  # transparency


def _is_sound(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
