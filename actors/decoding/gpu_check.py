"""Whether a GPU gave the right pixels: images of one colour, and one image in a thousand, are decoded by the CPU too.
Cards are known that give black images and no error. Runs in workers that decode on a GPU.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.columns import DRAWN, FLAT
from actors.decoding.decode import decode
from actors.decoding.turbo_decoder import decode_with_turbo
from actors.errors import DecoderMismatchError, ImageError
from actors.preprocess import fit

if TYPE_CHECKING:
    from actors.decoding.config import Decode, FittedImage
    from actors.preprocess import Preprocess


class Checked(NamedTuple):
    """The outcome of an image that a GPU decoded."""

    fitted: FittedImage | ImageError
    """The CPU's outcome where the image is `FLAT`, else the GPU's pixels."""
    why: str | None
    """`FLAT`, `DRAWN`, or None where the CPU was not asked."""


@dataclass(frozen=True)
class DecodeCheck:
    """Holds the pixels of a GPU against those of the CPU's full decode, with the same limits and at the same size."""

    limits: Decode
    preprocess: Preprocess

    def __call__(self, data: bytes, by_gpu: FittedImage) -> Checked:
        """Checks one image; the same image is always treated alike.

        Args:
            data: the encoded image.
            by_gpu: what the GPU made of it.

        Raises:
            DecoderMismatchError: the two differ by far more than rounding. A file in which libjpeg-turbo finds damage
                is no ground for that: decoders may show damage in different ways.
        """
        why = FLAT if _is_flat(by_gpu.image_hwc) else DRAWN if _is_drawn(data) else None
        if why is None:
            return Checked(by_gpu, None)
        try:
            cpu_hwc = fit(decode(data, self.limits), self.preprocess)
        except ImageError as error:
            return Checked(error if why == FLAT else by_gpu, why)
        difference = np.abs(cpu_hwc.astype(np.int16) - by_gpu.image_hwc)
        seen = _flat_mismatch(difference) if why == FLAT else _mismatch(difference)
        if seen and decode_with_turbo(data, self.limits, 1, None) is not None:
            raise DecoderMismatchError(seen)
        return Checked(by_gpu._replace(image_hwc=cpu_hwc) if why == FLAT else by_gpu, why)


_DRAWN_OF = 1000


def _is_flat(image_hwc: np.ndarray) -> bool:
    """Whether every pixel is equal to the next: black, or what a decoder makes of zeros in another colour space."""
    values = image_hwc.reshape(-1)
    return np.array_equal(values[3:], values[:-3])


def _is_drawn(data: bytes) -> bool:
    return zlib.crc32(data) % _DRAWN_OF == 0


# Grey levels. nvJPEG and libjpeg-turbo differ by 2.5 at most on average of an image; what is zeroed, garbled or of
# another image, by dozens. An image of one colour differs nowhere by more than rounding from one that is nearly so.
_MOST_ON_AVERAGE = 8.0
_MOST_IN_ONE_COLOUR = 16


def _mismatch(difference_hwc: np.ndarray) -> str:
    mean = float(difference_hwc.mean())
    return f"the GPU's pixels are {mean:.1f} grey levels off the CPU's on average" if mean > _MOST_ON_AVERAGE else ""


def _flat_mismatch(difference_hwc: np.ndarray) -> str:
    most = int(difference_hwc.max())
    return f"the GPU gives a single colour, up to {most} grey levels off the CPU" if most > _MOST_IN_ONE_COLOUR else ""
