"""Decodes what libjpeg-turbo cannot, through Pillow: all other formats, and unusual JPEGs.

Runs in the worker, under the guard of decode.py, which converts any Pillow exception to an ImageError.
"""

from __future__ import annotations

import ctypes
import functools
import io
import logging
import re
import struct
import warnings
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from PIL import _imaging
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile, DibImageFile
from PIL.ExifTags import Base
from PIL.GifImagePlugin import GifImageFile
from PIL.IcoImagePlugin import IcoImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from actors.decoding import png_header, tiff_header
from actors.decoding.jxl_header import read_jxl_header
from actors.decoding.pillow_plugins import is_avif, plugin_format
from actors.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

    from actors.decoding.config import Decode


def decode_with_pillow(data: bytes, limits: Decode) -> tuple[np.ndarray, int]:
    """Decodes to uint8 (height, width, 3) by the rules of `decode`; also returns the orientation still to undo.

    Raises ImageError and any Pillow exception.
    """
    image_format = find_format(data) or plugin_format(data, limits)
    if image_format is None:
        _reject_unknown(data)
    if image_format is IcoImageFile:
        _reject_large_icon(data, limits)
    _silence_pillow()
    try:
        return _decode(data, image_format, limits)
    except (ValueError, SyntaxError, OSError):
        bare = png_header.without_texts(data) if image_format is PngImageFile else data
        if bare == data:  # nothing was stripped, so it would fail again
            raise
        return _decode(bare, image_format, limits)


def _decode(data: bytes, image_format: type[ImageFile], limits: Decode) -> tuple[np.ndarray, int]:
    with _opened(data, image_format) as image:
        limits.refuse_pixels(image.height, image.width)
        if isinstance(image, TiffImageFile):
            _reject_large_tiles(image, limits)
            tiff_header.reject_layout(image)
            tiff_header.fix_palette(image)
        image.load()
        return _rgb(image), _orientation(image, data)


def _opened(data: bytes, image_format: type[ImageFile]) -> ImageFile:
    try:
        return image_format(io.BytesIO(data))
    except SyntaxError as error:
        cause = error.__cause__
        if image_format is TiffImageFile and isinstance(cause, KeyError) and isinstance(cause.args[0], int):
            raise tiff_header.unknown_compression(cause.args[0]) from error
        raise


def find_format(data: bytes) -> type[ImageFile] | None:
    """Finds Pillow's reader for these bytes by their signature; returns None if no reader supports them."""
    start = data[:_START_BYTES]
    found = next((image_format for signature, image_format in _SIGNATURES if signature.match(start)), None)
    return AvifImageFile if found is None and is_avif(start) else found


# Called directly: Image.open also tries formats that run external programs, and hides why a reader fails.
_FORMATS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (rb"\xff\xd8\xff", JpegImageFile),
    (rb"\x89PNG\r\n\x1a\n", PngImageFile),
    (rb"RIFF....WEBP", WebPImageFile),
    (rb"GIF8[79]a", GifImageFile),
    (rb"II[*+]\x00|MM\x00[*+]", TiffImageFile),  # the plus sign is BigTIFF
    (rb"BM", BmpImageFile),
    (rb"P[1-6f]\s", PpmImageFile),  # f: PFM, of floats
    (rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", Jpeg2KImageFile),
    (rb"\x00\x00\x01\x00", IcoImageFile),
    (rb"[\x28\x6c\x7c]\x00\x00\x00", DibImageFile),  # a BMP without file header: 40, 108 or 124 bytes of info header
)
_UNSUPPORTED = (
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
    (rb"%PDF", "PDF"),
    (rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?(?:<!DOCTYPE svg[^>]*>\s*)?<svg", "SVG"),
    (rb"8BPS", "Photoshop"),
)
_SIGNATURES = [(re.compile(pattern, re.DOTALL), image_format) for pattern, image_format in _FORMATS]
_REFUSED = [(re.compile(pattern, re.DOTALL), name) for pattern, name in _UNSUPPORTED]
_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html)\b", re.IGNORECASE)
_START_BYTES = 1024  # room for the brands of AVIF, and for what precedes <svg or <html


def _reject_unknown(data: bytes) -> NoReturn:
    start = data[:_START_BYTES]
    for signature, name in _REFUSED:
        if signature.match(start):
            raise ImageError("decode", "unsupported", f"{name} is not a supported image format")
    if _WEB_PAGE.match(start):
        raise ImageError("decode", "unidentified", "an HTML page instead of an image, such as a login or error page")
    raise ImageError("decode", "unidentified", "not a known image format")  # omits the bytes: they may be a secret


def _reject_large_icon(data: bytes, limits: Decode) -> None:
    """Checks the embedded pictures: Pillow decodes one on opening the file, whatever the size in the directory."""
    # A 6-byte header, 16 bytes per picture with its offset in the last four; then PNGs, or BMPs without file header.
    (num_pictures,) = struct.unpack_from("<H", data, 4)
    for picture in range(num_pictures):
        (start,) = struct.unpack_from("<I", data, 6 + 16 * picture + 12)
        is_png = data.startswith(b"\x89PNG", start)
        width, height = struct.unpack_from(">II" if is_png else "<ii", data, start + (16 if is_png else 4))
        limits.refuse_pixels(
            abs(height) if is_png else abs(height) // 2, abs(width)
        )  # the height covers colours and mask


def _reject_large_tiles(image: TiffImageFile, limits: Decode) -> None:
    """Rejects huge tiles: a tile is decoded whole, however small the image."""
    limits.refuse_pixels(image.tag_v2.get(TILELENGTH, 0), image.tag_v2.get(TILEWIDTH, 0))


def _silence_pillow() -> None:
    """Suppresses Pillow's warnings about odd files, which would be printed, or raised if warnings are errors.

    Applies to Pillow in the whole process, because `warnings.catch_warnings` is not thread-safe. Anything that matters
    appears as an error in the image's row.
    """
    if _PILLOW_WARNINGS not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PILLOW_MODULES)
    if not _PILLOW_LOGGER.handlers:
        _PILLOW_LOGGER.addHandler(logging.NullHandler())  # otherwise logging prints errors if nothing is configured
    _silence_libtiff()


@functools.cache
def _silence_libtiff() -> None:
    """Removes the handler that prints libtiff's errors: Pillow keeps it, but also raises them."""
    set_handler = getattr(ctypes.CDLL(_imaging.__file__), "TIFFSetErrorHandler", None)
    if set_handler is not None:  # some builds do not export it
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)


_PILLOW_LOGGER = logging.getLogger("PIL")
_PILLOW_MODULES = r"PIL\."
_PILLOW_WARNINGS = ("ignore", None, Warning, re.compile(_PILLOW_MODULES), 0)
_MAX_UINT16 = 65535


def _rgb(image: Image) -> np.ndarray:
    if image.mode == "F":
        raise ImageError("decode", "unsupported", "floating-point pixels have no known range")
    if not image.mode.startswith("I"):
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    grey = np.asarray(image)
    if isinstance(image, TiffImageFile):
        grey = tiff_header.corrected(grey, image)
    if image.mode == "I" and (grey.min() < 0 or grey.max() > _MAX_UINT16):
        raise ImageError("decode", "unsupported", f"pixels from {grey.min()} to {grey.max()}, outside 0 to 65535")
    # Not Pillow's convert, which clips 16 bits at 255 instead of scaling them.
    return np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2)


def _orientation(image: Image, data: bytes) -> int:
    if image.format == "JXL" and read_jxl_header(data).orientation != 1:
        return 1  # the decoder has already undone it
    try:
        orientation = image.getexif().get(Base.Orientation, 1)
    except Exception:  # noqa: BLE001  Pillow raises many types on damaged EXIF, which does not affect the pixels
        return 1
    return orientation if isinstance(orientation, int) else 1
