"""Config node ``decode``: limits per image, and the device that decodes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple, Protocol

from actors.errors import ImageError, JobError
from actors.field_types import coerce_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from actors.pixel_arrays import Pixels


class DecodeDevice(Enum):
    """Device that decodes images; auto measures both where there is a capable GPU."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class Truncated(Enum):
    """Handling of JPEGs that end early."""

    error = "error"
    accept = "accept"


@dataclass
class Decode:
    """Config node ``decode``: limits per image, and the device that decodes. An image beyond a limit becomes a row in
    ``errors/``.
    """

    max_pixels: int = 100_000_000
    """Maximum height times width according to the header. Decoding takes up to about 12 bytes of memory per pixel."""

    max_bytes: int = 256 * 2**20
    """Maximum size of an encoded image in bytes; checked before it is read."""

    scaled: bool = True
    """Decode a JPEG far larger than the model's input at 1/2, 1/4 or 1/8 of its size, in as little as two thirds of the
    time. The model's pixels differ slightly: see `decode_scaled`."""

    truncated: Truncated = Truncated.error
    """Handling of a JPEG that ends before its last pixel: error, or accept, which leaves the missing part grey. A JPEG
    that lacks only its end marker is complete."""

    device: DecodeDevice = DecodeDevice.auto
    """auto, cpu or gpu. On a GPU, nvImageCodec decodes plain JPEGs, and the CPU all other images. The model's pixels
    differ slightly: see `actors.decoding.gpu_decoder.GpuDecoder`."""

    def __post_init__(self) -> None:
        coerce_fields(self, "decode")

    def check(self) -> None:
        """Raises JobError for a limit that no image can meet, or if device is gpu and nvImageCodec is missing."""
        for name, value in (("max_pixels", self.max_pixels), ("max_bytes", self.max_bytes)):
            if value < 1:
                raise JobError(f"decode.{name}={value}: not above 0", fix="give a number of at least 1")
        if self.device is DecodeDevice.gpu and not has_nvimgcodec():
            raise JobError(
                "decode.device=gpu: nvImageCodec is not installed",
                fix="pip install 'shardlens[nvimgcodec]' here and where the workers run, or choose decode.device=cpu",
            )

    def refuse_pixels(self, height: int, width: int) -> None:
        """Raises ImageError if an image of this size exceeds ``max_pixels``."""
        if height * width > self.max_pixels:
            size = f"{width} x {height} is {height * width} pixels"
            raise ImageError("decode", "too_large", f"{size}, more than decode.max_pixels={self.max_pixels}")


def has_nvimgcodec() -> bool:
    """Returns True if nvImageCodec is installed, without importing it. It may still find no GPU."""
    try:
        return find_spec("nvidia.nvimgcodec") is not None
    except ImportError:  # the parent package ``nvidia`` is missing, too
        return False


class FittedImage(NamedTuple):
    """An image, decoded, resized and cropped for the model."""

    image_hwc: np.ndarray
    """RGB pixels at the model's input size, uint8 (height, width, 3)."""
    source_hw: tuple[int, int]
    """Height and width of the upright image at full size, as a viewer shows it."""


class FittedBatch(NamedTuple):
    """The images of a batch that a `BatchDecoder` decoded, resized and cropped for the model."""

    pixels_nhwc: Pixels
    """Pixels of all images, writable, on the decoder's device; undefined for images that it did not decode."""
    sources_hw: list[tuple[int, int] | None]
    """The `FittedImage.source_hw` of each image, or None for images that the CPU must decode."""


class BatchDecoder(Protocol):
    """Decodes the images of a batch that it supports."""

    def __call__(self, encoded: Sequence[bytes]) -> FittedBatch:
        """Decodes a batch, in order. An image may be empty.

        Never reports an error for an image. Leaves anything unusual to the CPU, which reports what is wrong.

        Raises:
            DeviceLostError: this process can no longer use the device.
        """
