"""Loads the decoder for whole batches, in workers that read. Without one, the CPU decodes image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.decoding.config import BatchDecoder, Decode, DecodeDevice

if TYPE_CHECKING:
    from actors.preprocess import Preprocess


def load_decoder(limits: Decode, preprocess: Preprocess) -> BatchDecoder | None:
    """Loads the decoder for ``limits.device``, ready for use; None for the CPU.

    In a worker, auto also means the CPU: if there was a choice, the driver has already made it.

    Raises:
        JobError: the GPU, or a library that nvImageCodec needs to decode on it, is missing.
        DeviceError: the GPU is lost, or has no memory left.
    """
    if limits.device is not DecodeDevice.gpu:
        return None
    from actors.decoding.gpu_decoder import GpuDecoder  # noqa: PLC0415  it imports torch

    return GpuDecoder(limits, preprocess)
