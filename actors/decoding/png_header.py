"""A PNG without what does not change its pixels, for files whose texts and profiles stand in the way. Runs in the
worker, on bytes that nobody has checked.
"""

from __future__ import annotations

import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def without_texts(png: bytes) -> bytes:
    """``png`` with its critical chunks, transparency and orientation alone; whatever is odd in these stays.

    A text or a profile may be longer than Pillow reads, or have a wrong checksum: decoders that want pixels pass over
    it, as libpng does.
    """
    kept, position = [SIGNATURE], len(SIGNATURE)
    while position + _FRAME <= len(png):
        stop = position + _FRAME + int.from_bytes(png[position : position + 4], "big")
        kind = png[position + 4 : position + 8]
        if kind[:1].isupper() or kind in _KEPT or (kind == b"eXIf" and _is_sound(png[position:stop])):
            kept.append(png[position:stop])
        position = stop
        if kind == b"IEND":
            break
    return b"".join(kept)


_FRAME = 12  # length, kind and checksum
_KEPT = frozenset((b"tRNS",))


def _is_sound(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
