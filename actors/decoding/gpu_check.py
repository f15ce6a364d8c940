"""Checks pixels decoded on a GPU: the CPU also decodes single-colour images and one image in a thousand. Some cards are
known to return black images without an error. Runs in workers that decode on a GPU.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.columns import DRAWN, FLAT
from actors.decoding.config import FittedImage
from actors.decoding.decode import decode
from actors.decoding.turbo_decoder import decode_with_turbo
from actors.device_errors import device_errors
from actors.errors import DecoderMismatchError, ImageError
from actors.pixel_arrays import find_flat, to_host
from actors.preprocess import PadPosition, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.decoding.config import Decode, FittedBatch
    from actors.preprocess import Preprocess


class Checked(NamedTuple):
    """Outcome for an image decoded on a GPU."""

    by_cpu: FittedImage | ImageError | None
    """The CPU's outcome if the image is `FLAT`; otherwise None, and the GPU's pixels are kept."""
    source_hw: tuple[int, int]
    """See `FittedImage.source_hw`."""
    reason: str | None = None
    """Reason for the CPU decode: `FLAT` (apart from padding), `DRAWN`, or None if there was none."""


@dataclass(frozen=True)
class DecodeCheck:
    """Compares a GPU's pixels with the CPU's full-size decode, using the same limits and preprocessing."""

    limits: Decode
    preprocess: Preprocess

    def __call__(self, encoded: Sequence[bytes], by_gpu: FittedBatch) -> dict[int, Checked]:
        """Checks a batch. The choice of images depends only on their bytes and pixels. Only compared images leave the
        GPU.

        Args:
            encoded: the images.
            by_gpu: the GPU's result.

        Returns:
            The outcome of each image that the GPU decoded, by its position.

        Raises:
            DecoderMismatchError: the two differ by far more than rounding. Never raised for files that libjpeg-turbo
                reports as damaged, since decoders may render damage differently.
        """
        checked: dict[int, Checked] = {}
        is_at_start = self.preprocess.pad_position is PadPosition.top_left
        height, width = (1, 1) if is_at_start else self.preprocess.size
        visible_yx, padding = ((height - 1) // 2, (width - 1) // 2), self.preprocess.pad_color
        with device_errors():
            is_flat = find_flat(by_gpu.pixels_nhwc, visible_yx, padding)
        for place, (data, source_hw) in enumerate(zip(encoded, by_gpu.sources_hw, strict=True)):
            if source_hw is None:
                continue
            checked[place] = Checked(None, source_hw)
            if reason := FLAT if is_flat[place] else DRAWN if _is_drawn(data) else None:
                gpu_hwc = to_host(by_gpu.pixels_nhwc[place : place + 1])[0]
                by_cpu, mismatch = self._compare(data, FittedImage(gpu_hwc, source_hw), reason)
                if mismatch:
                    raise DecoderMismatchError(mismatch, place)
                checked[place] = Checked(by_cpu if reason == FLAT else None, source_hw, reason)
        return checked

    def _compare(self, data: bytes, by_gpu: FittedImage, reason: str) -> tuple[FittedImage | ImageError, str]:
        """Decodes on the CPU. Returns the outcome, and the difference from the GPU's; empty if negligible."""
        try:
            cpu_hwc = fit(decode(data, self.limits), self.preprocess)
        except ImageError as error:
            return error, ""
        difference = np.abs(cpu_hwc.astype(np.int16) - by_gpu.image_hwc)
        mismatch = _flat_mismatch(difference) if reason == FLAT else _mismatch(difference)
        if mismatch and decode_with_turbo(data, self.limits, 1, None) is None:
            mismatch = ""
        return by_gpu._replace(image_hwc=cpu_hwc), mismatch


_DRAWN_OF = 1000  # one in this many images: about one CPU second per million images of 0.2 megapixels


def _is_drawn(data: bytes) -> bool:
    return zlib.crc32(data) % _DRAWN_OF == 0


# Grey levels. nvJPEG and libjpeg-turbo differ by at most 2.5 on average over an image; zeroed, garbled or mixed-up
# pixels differ by dozens. In a single-colour image, no pixel differs by more than rounding.
_MOST_ON_AVERAGE = 8.0
_MOST_IN_ONE_COLOUR = 16


def _mismatch(difference_hwc: np.ndarray) -> str:
    mean = float(difference_hwc.mean())
    return f"the GPU's pixels are {mean:.1f} grey levels off the CPU's on average" if mean > _MOST_ON_AVERAGE else ""


def _flat_mismatch(difference_hwc: np.ndarray) -> str:
    most = int(difference_hwc.max())
    return f"the GPU gives a single colour, up to {most} grey levels off the CPU" if most > _MOST_IN_ONE_COLOUR else ""
