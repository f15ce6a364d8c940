"""Decodes the bytes of one image, or raises an ImageError that states why it cannot.

Runs in the worker, once per image. This is the per-image guard: whatever a decoder raises becomes an ImageError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.decoding import jpeg_header
from actors.decoding.config import Decode, Truncated
from actors.decoding.decode_errors import image_error
from actors.decoding.pillow_decoder import decode_with_pillow
from actors.decoding.turbo_decoder import decode_with_turbo
from actors.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable


class Decoded(NamedTuple):
    """The pixels of an upright image, possibly scaled down.

    Attributes:
        image_hwc: RGB pixels: uint8 of shape (height, width, 3), C order, writable.
        source_hw: height and width of the whole image.
        divisor: how many times smaller than the whole image it was decoded: 1, 2, 4 or 8.
    """

    image_hwc: np.ndarray
    source_hw: tuple[int, int]
    divisor: int

    @property
    def extent(self) -> tuple[float, float]:
        """Height and width of the image in pixels of ``image_hwc``.

        A scaled image may end within its last pixel: 375 rows at 1/8 are 46.875 rows in an array of 47.
        """
        return self.source_hw[0] / self.divisor, self.source_hw[1] / self.divisor


def decode(data: bytes, limits: Decode) -> np.ndarray:
    """Decodes an image at full size to RGB: uint8 of shape (height, width, 3), C order, writable.

    Applies EXIF (or XMP) orientations 1 to 8 like `PIL.ImageOps.exif_transpose`, and ignores damaged EXIF. Repeats
    grey, looks up palettes, and drops alpha without compositing (like torchvision's loader). Grey with more than 8 bits
    and 16-bit RGB keep the high byte (value >> 8). CMYK and YCCK go through Pillow's conversion; colour profiles are
    not applied. Floating point, and integers outside 0 to 65535, are errors. Of animations and multi-picture files,
    only the first frame is decoded.

    Formats: JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, AVIF and ICO, and with a plug-in HEIC and JPEG XL,
    recognised by content, never by name. A JPEG that is complete but damaged inside decodes to the same pixels as in
    Pillow; one that lacks only its end marker is complete. Unreadable texts and profiles in PNG are skipped. TIFF
    layouts that Pillow decodes wrongly are errors: see `actors.decoding.tiff_header`.

    Raises ImageError with stage ``decode`` and kind ``empty``, ``too_large``, ``unidentified``, ``unsupported``,
    ``truncated``, ``too_many_scans``, ``corrupt`` or ``out_of_memory``, and no other exception.
    """
    return _guarded(data, limits, None).image_hwc


def decode_scaled(data: bytes, limits: Decode, resized: Callable[[int, int], tuple[int, int]]) -> Decoded:
    """Decodes like `decode`, but scaled down if the image will be resized far smaller and ``limits.scaled`` is set.

    Decodes a JPEG at 1/8, 1/4 or 1/2 of its size if that leaves at least three times the resized size, and all other
    images at full size. `actors.preprocess.fit` then returns the same geometry and nearly the same pixels. For
    photographs of 1 to 12 megapixels they differ by 0.4 grey levels on average, by at most 1.3 on average over one
    image, and by up to 8 in single pixels; in small images full of grain or sharp lines by up to 4 and 30; in black and
    white stripes a few pixels wide by up to 8 on average.

    Args:
        data: the encoded image.
        limits: ``max_pixels`` applies to the full size.
        resized: maps the height and width of the upright image to its resized height and width.
    """
    return _guarded(data, limits, resized if limits.scaled else None)


def _guarded(data: bytes, limits: Decode, resized: Callable[[int, int], tuple[int, int]] | None) -> Decoded:
    try:
        return _decode(data, limits, resized)
    except ImageError:
        raise
    except Exception as error:
        raise image_error(error, data) from error


def _decode(data: bytes, limits: Decode, resized: Callable[[int, int], tuple[int, int]] | None) -> Decoded:
    if not data:
        raise ImageError("decode", "empty", "no bytes")
    if len(data) > limits.max_bytes:
        raise ImageError("decode", "too_large", f"{len(data)} bytes, more than decode.max_bytes={limits.max_bytes}")
    is_jpeg = data.startswith(b"\xff\xd8\xff")
    header = jpeg_header.read_header(data) if is_jpeg else None
    # An unusual layout may hide any number of scans, so it is checked like a progressive image.
    if is_jpeg and (header is None or header.is_multi_scan):
        jpeg_header.check_markers(data)
    stored = _by_turbo(data, header, limits, resized) if header else None
    if header is None or stored is None:
        image_hwc, orientation = decode_with_pillow(data, limits)
        return _upright(Decoded(image_hwc, (image_hwc.shape[0], image_hwc.shape[1]), 1), orientation)
    return _upright(Decoded(*stored), header.orientation)


def _by_turbo(
    data: bytes, header: jpeg_header.Header, limits: Decode, resized: Callable[[int, int], tuple[int, int]] | None
) -> tuple[np.ndarray, tuple[int, int], int] | None:
    stored = decode_with_turbo(data, limits, header.orientation, resized)
    # libjpeg-turbo reports a missing end marker like missing pixels; adding one leaves only the latter.
    if stored is None and not header.is_multi_scan and (ended := jpeg_header.with_end(data)):
        stored = decode_with_turbo(ended, limits, header.orientation, resized)
    if stored is None and limits.truncated is Truncated.accept:
        stored = decode_with_turbo(data, limits, header.orientation, resized, accept_truncated=True)
    return stored


def _upright(stored: Decoded, orientation: int) -> Decoded:
    """Undoes an EXIF orientation; numbers outside 1 to 8 change nothing."""
    image_hwc, source_hw, divisor = stored
    pixels_hw = image_hwc.view("V3")[:, :, 0]  # moves a pixel as one item, in half the time
    if orientation in jpeg_header.TRANSPOSED:
        pixels_hw, source_hw = pixels_hw.T, source_hw[::-1]
    if orientation in jpeg_header.UPSIDE_DOWN:
        pixels_hw = pixels_hw[::-1]
    if orientation in jpeg_header.MIRRORED:
        pixels_hw = pixels_hw[:, ::-1]
    # Not ascontiguousarray: it keeps the negative stride of a single row, which torch rejects.
    upright_hw = pixels_hw.copy() if orientation in jpeg_header.TURNED else pixels_hw
    return Decoded(upright_hw[:, :, None].view(np.uint8), source_hw, divisor)
