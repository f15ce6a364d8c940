"""What decodes whole batches of images, beside the CPU that decodes them one by one, and how fast each is. Runs in
workers that read.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.decoding.config import BatchDecoder, Decode, DecodeDevice
from actors.decoding.pixel_blocks import pixel_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.preprocess import Preprocess


def load_decoder(limits: Decode, preprocess: Preprocess) -> BatchDecoder | None:
    """The decoder of ``limits.device``, ready for use; None for the CPU, which auto also means to a worker: where there
    is a choice, it was made before.

    Raises:
        JobError: the GPU, or what nvImageCodec needs to decode on it, is missing.
        DeviceError: the GPU is lost, or has no memory left.
    """
    if limits.device is not DecodeDevice.gpu:
        return None
    from actors.decoding.gpu_decoder import GpuDecoder  # noqa: PLC0415  it imports torch

    return GpuDecoder(limits, preprocess)


def decode_rate(encoded: Sequence[bytes], limits: Decode, preprocess: Preprocess, device: DecodeDevice) -> float:
    """Images per second, from bytes to pixels in host memory: of this process on the CPU, with torch's threads as they
    are set, or of a GPU that does nothing else. Loading and the first batch are not counted.

    Args:
        encoded: a batch as a run would have it, from one image on.
        limits: as in the run; ``device`` gives way to the one below.
        preprocess: gives the size.
        device: cpu or gpu.

    Raises:
        JobError: as `load_decoder`.
        DeviceError: as `load_decoder`, and `DeviceLostError` when a batch loses the GPU.
    """
    decoder = load_decoder(replace(limits, device=device), preprocess)
    pixel_columns(encoded, limits, preprocess, decoder)
    num_images, started = 0, time.perf_counter()
    while not num_images or time.perf_counter() - started < _TIMED_S:
        pixel_columns(encoded, limits, preprocess, decoder)
        num_images += len(encoded)
    return num_images / (time.perf_counter() - started)


_TIMED_S = 1.0
