"""Recognises TIFF layouts that Pillow decodes wrongly from the tags, before decoding. Runs in the worker.

The reference is libtiff's ``tiff2rgba``: for every accepted layout, `decode` is within one grey level of it
(`tests/actors/decoding/test_tiff_header.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import ImagePalette

from actors.errors import ImageError

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile


def reject_layout(image: TiffImageFile) -> None:
    """Raises ImageError for samples that Pillow decodes wrongly without an error."""
    tags = image.tag_v2
    bits, photometric = max(tags.get(_BITS, (1,))), tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO)
    if _SIGNED in tags.get(_SAMPLE_FORMAT, ()) and bits <= _BYTE:
        raise _unsupported("signed samples of 8 bits")
    if photometric in _LAB:
        raise _unsupported("colours in CIELab")
    if tags.get(_PLANAR, 1) == _SEPARATE and bits > _BYTE:
        raise _unsupported(f"planes of {bits} bits")
    if tags.get(_PLANAR, 1) == _SEPARATE and photometric == _WHITE_IS_ZERO:
        raise _unsupported("planes in which white is zero")


def fix_palette(image: TiffImageFile) -> None:
    """Treats a colour table without values above 255 as 8-bit, like libtiff: some writers store it that way."""
    table = image.tag_v2.get(_COLOUR_TABLE, ())
    if image.tag_v2.get(_PHOTOMETRIC) == _PALETTE and table and max(table) <= np.iinfo(np.uint8).max:
        image.palette = ImagePalette.raw("RGB;L", bytes(table))


def corrected(grey: np.ndarray, image: TiffImageFile) -> np.ndarray:
    """Scales Pillow's grey pixels of ``image``, which has more than 8 bits, to 0 for black and 65535 for white."""
    if max(image.tag_v2.get(_BITS, (1,))) == _PACKED:
        grey = grey << (_SHORT - _PACKED)  # Pillow unpacks 12 bits to the low end of 16
    is_inverted = image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    return np.iinfo(np.uint16).max - grey if is_inverted else grey


def unknown_compression(number: int) -> ImageError:
    """Creates the error for a compression that Pillow does not know."""
    name = _COMPRESSIONS.get(number)
    return _unsupported(f"compression {number}{f' ({name})' if name else ''}")


# TIFF 6.0 tags and their values; bits are per sample.
_BITS, _PHOTOMETRIC, _PLANAR, _COLOUR_TABLE, _SAMPLE_FORMAT = 258, 262, 284, 320, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE = 0, 1, 3
_LAB = frozenset((8, 9, 10))  # CIELab, ICCLab, ITULab
_SEPARATE, _SIGNED = 2, 2
_BYTE, _PACKED, _SHORT = 8, 12, 16
_COMPRESSIONS = {33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 50002: "JPEG XL", 52546: "JPEG XL"}


def _unsupported(what: str) -> ImageError:
    return ImageError("decode", "unsupported", f"TIFF with {what}; convert it, for example to PNG")
