"""Turns the bytes of one image into pixels, or into the ImageError that says why not.

Runs in the worker, once an image. It is the per-image guard: whatever a decoder raises becomes an ImageError.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors import jpeg
from actors.decode_errors import image_error
from actors.errors import ImageError, JobError
from actors.pillow import decode_with_pillow
from actors.turbo import decode_with_turbo
from actors.typed import coerce_fields

if TYPE_CHECKING:
    from collections.abc import Callable


class DecodeDevice(Enum):
    """Where images are decoded; auto measures, where there is a GPU that could."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class Truncated(Enum):
    """What becomes of JPEGs that end early."""

    error = "error"
    accept = "accept"


@dataclass
class Decode:
    """Config node ``decode``: what one image may cost, and where it is decoded. A bigger one becomes a row in
    ``errors/``.
    """

    max_pixels: int = 100_000_000
    """Most pixels, height times width, as the header says. Decoding takes up to about 12 bytes of memory for each."""

    max_bytes: int = 256 * 2**20
    """Most bytes of the encoded image; checked before they are read."""

    scaled: bool = True
    """Whether a JPEG far larger than the model's input is decoded at 1/2, 1/4 or 1/8 of its size, for down to two
    thirds of the time. The model's pixels then differ a little: see `decode_scaled`."""

    truncated: Truncated = Truncated.error
    """What becomes of a JPEG that ends before its last pixel: error, or accept what there is, the rest being grey. One
    that lacks nothing but the mark of its end is whole either way."""

    device: DecodeDevice = DecodeDevice.auto
    """auto, cpu or gpu. On a GPU the plain JPEGs are decoded, by nvImageCodec, and all else on the CPU. The model's
    pixels then differ a little: see `actors.gpu_decode.GpuDecoder`."""

    def __post_init__(self) -> None:
        coerce_fields(self, "decode")

    def check(self) -> None:
        """Raises JobError for a limit that no image can meet, and for a GPU where nvImageCodec is not installed."""
        for name, value in (("max_pixels", self.max_pixels), ("max_bytes", self.max_bytes)):
            if value < 1:
                raise JobError(f"decode.{name}={value}: not above 0", cure="give a number of at least 1")
        if self.device is DecodeDevice.gpu and not has_nvimgcodec():
            raise JobError(
                "decode.device=gpu: nvImageCodec is not installed",
                cure="pip install 'shardlens[nvimgcodec]' here and where the workers run, or choose decode.device=cpu",
            )

    def refuse_pixels(self, height: int, width: int) -> None:
        """Raises ImageError where the size is above ``max_pixels``."""
        if height * width > self.max_pixels:
            seen = f"{width} x {height} is {height * width} pixels"
            raise ImageError("decode", "too_large", f"{seen}, more than decode.max_pixels={self.max_pixels}")


def has_nvimgcodec() -> bool:
    """Whether nvImageCodec is installed here; it may still find no GPU. Nothing of it is imported."""
    try:
        return find_spec("nvidia.nvimgcodec") is not None
    except ImportError:  # not even what its package lies in
        return False


class Decoded(NamedTuple):
    """The pixels of an image, and where it ends in them.

    Attributes:
        image_hwc: RGB pixels: uint8 of shape (height, width, 3), C order, writable.
        extent: height and width of the image in these pixels. It is the shape, unless the image was scaled down and
            ends within a pixel: 375 rows at 1/8 are 46.875 in an array of 47.
    """

    image_hwc: np.ndarray
    extent: tuple[float, float]


def decode(data: bytes, limits: Decode) -> np.ndarray:
    """The whole image as RGB pixels: uint8 of shape (height, width, 3), C order, writable.

    Orientations 1 to 8 of EXIF (or XMP) are undone, as `PIL.ImageOps.exif_transpose` does; damaged EXIF counts as none.
    Grey is repeated, palettes are looked up, and alpha is dropped without compositing (what torchvision's loader does).
    Grey of more than 8 bits keeps its high byte (value >> 8), and so does RGB of 16 bits. CMYK and YCCK go through
    Pillow's conversion; colour profiles are not applied. Floating point, and integers outside 0 to 65535, are
    refused. Of animations and multi-picture files the first frame is taken.

    Formats: JPEG, PNG, WebP, GIF, TIFF, BMP, PPM, JPEG 2000, AVIF and ICO, and with a plug-in HEIC and JPEG XL, told by
    content and never by name. A JPEG that is damaged inside, yet complete, gives the pixels that Pillow gives. One that
    lacks only the mark of its end is complete. Of PNG, texts and profiles that cannot be read are passed over. Of TIFF,
    layouts that would come out wrong are refused: see `actors.tiff`.

    Raises ImageError of stage ``decode`` and kind ``empty``, ``too_large``, ``unidentified``, ``unsupported``,
    ``truncated``, ``too_many_scans``, ``corrupt`` or ``out_of_memory``; nothing else.
    """
    return _guarded(data, limits, None).image_hwc


def decode_scaled(data: bytes, limits: Decode, resized: Callable[[int, int], tuple[int, int]]) -> Decoded:
    """As `decode`, but scaled down where the image will be made far smaller and ``limits.scaled`` allows it.

    A JPEG is decoded at 1/8, 1/4 or 1/2 of its size where that leaves at least three times what it will be resized
    to, and else whole, as all other formats are. `actors.preprocess.fit` then gives the
    same geometry, and nearly the same pixels. Of photographs of 1 to 12 megapixels they differ by 0.4 grey levels on
    average, by 1.3 at most on average of one image, and single ones by up to 8; where a small image is full of grain
    or sharp lines, by up to 4 and 30; where all of it is black and white stripes a few pixels wide, by up to 8 on
    average.

    Args:
        data: the encoded image.
        limits: ``max_pixels`` holds for the whole image.
        resized: gives the height and width that an image of this height and width, right way up, will be resized to.
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
        seen = f"{len(data)} bytes, more than decode.max_bytes={limits.max_bytes}"
        raise ImageError("decode", "too_large", seen)
    is_jpeg = data.startswith(b"\xff\xd8\xff")
    header = jpeg.read_header(data) if is_jpeg else None
    if is_jpeg and (header is None or header.is_multi_scan):
        jpeg.check_markers(data)
    stored = _by_turbo(data, header, limits, resized) if header else None
    if header is None or stored is None:
        image_hwc, orientation = decode_with_pillow(data, limits)
        return _upright(image_hwc, image_hwc.shape[:2], orientation)
    return _upright(*stored, header.orientation)


def _by_turbo(
    data: bytes, header: jpeg.Header, limits: Decode, resized: Callable[[int, int], tuple[int, int]] | None
) -> tuple[np.ndarray, tuple[float, float]] | None:
    stored = decode_with_turbo(data, limits, header.orientation, resized)
    if stored is None and not header.is_multi_scan and (ended := jpeg.with_end(data)):
        stored = decode_with_turbo(ended, limits, header.orientation, resized)
    if stored is None and limits.truncated is Truncated.accept:
        stored = decode_with_turbo(data, limits, header.orientation, resized, accept_truncated=True)
    return stored


def _upright(image_hwc: np.ndarray, extent: tuple[float, float], orientation: int) -> Decoded:
    """Undoes an EXIF orientation; a number outside 1 to 8 means nothing."""
    pixels_hw = image_hwc.view("V3")[:, :, 0]  # a pixel moves as one item: half the time of three
    if orientation in jpeg.TRANSPOSED:
        pixels_hw, extent = pixels_hw.T, extent[::-1]
    if orientation in jpeg.UPSIDE_DOWN:
        pixels_hw = pixels_hw[::-1]
    if orientation in jpeg.MIRRORED:
        pixels_hw = pixels_hw[:, ::-1]
    # Not ascontiguousarray: it keeps the negative stride of a single row, which torch refuses.
    upright_hw = pixels_hw.copy() if orientation in jpeg.TURNED else pixels_hw
    return Decoded(upright_hw[:, :, None].view(np.uint8), extent)
