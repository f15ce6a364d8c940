"""Checks the pixels that a GPU decoded: the CPU decodes images of a single colour, and one in a thousand, as well.
Some cards are known to return black images without an error. Runs in workers that decode on a GPU.
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
    """Outcome for an image that a GPU decoded."""

    fitted: FittedImage | ImageError
    """The CPU's outcome where the image is `FLAT`, otherwise the GPU's pixels."""
    reason: str | None
    """Reason why the CPU decoded it, too: `FLAT`, `DRAWN`, or None if it did not."""


@dataclass(frozen=True)
class DecodeCheck:
    """Compares the pixels of a GPU with the CPU's full-size decode, with the same limits and preprocessing."""

    limits: Decode
    preprocess: Preprocess

    def __call__(self, data: bytes, by_gpu: FittedImage) -> Checked:
        """Checks one image; the choice depends on its bytes alone.

        Args:
            data: the encoded image.
            by_gpu: the GPU's result.

        Raises:
            DecoderMismatchError: the two differ by far more than rounding. Never raised for a file in which
                libjpeg-turbo finds damage, since decoders may render damage differently.
        """
        reason = FLAT if _is_flat(by_gpu.image_hwc) else DRAWN if _is_drawn(data) else None
        if reason is None:
            return Checked(by_gpu, None)
        try:
            cpu_hwc = fit(decode(data, self.limits), self.preprocess)
        except ImageError as error:
            return Checked(error if reason == FLAT else by_gpu, reason)
        difference = np.abs(cpu_hwc.astype(np.int16) - by_gpu.image_hwc)
        mismatch = _flat_mismatch(difference) if reason == FLAT else _mismatch(difference)
        if mismatch and decode_with_turbo(data, self.limits, 1, None) is not None:
            raise DecoderMismatchError(mismatch)
        return Checked(by_gpu._replace(image_hwc=cpu_hwc) if reason == FLAT else by_gpu, reason)


_DRAWN_OF = 1000  # one image in so many: about one CPU second per million images of 0.2 megapixels


def _is_flat(image_hwc: np.ndarray) -> bool:
    """Returns True if all pixels are equal: black, or the colour of zeros in another colour space."""
    values = image_hwc.reshape(-1)  # each value equals that of the next pixel, three further on
    return np.array_equal(values[3:], values[:-3])


def _is_drawn(data: bytes) -> bool:
    return zlib.crc32(data) % _DRAWN_OF == 0


# Grey levels. nvJPEG and libjpeg-turbo differ by at most 2.5 on average over an image; pixels that are zeroed, garbled
# or from another image by dozens. In an image of a single colour no pixel differs by more than rounding.
_MOST_ON_AVERAGE = 8.0
_MOST_IN_ONE_COLOUR = 16


def _mismatch(difference_hwc: np.ndarray) -> str:
    mean = float(difference_hwc.mean())
    return f"the GPU's pixels are {mean:.1f} grey levels off the CPU's on average" if mean > _MOST_ON_AVERAGE else ""


def _flat_mismatch(difference_hwc: np.ndarray) -> str:
    most = int(difference_hwc.max())
    return f"the GPU gives a single colour, up to {most} grey levels off the CPU" if most > _MOST_IN_ONE_COLOUR else ""
