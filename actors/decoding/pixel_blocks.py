"""Decodes a batch of images to the model's input size, each image under its own guard. Runs in read tasks, and in the
predictor for Python callers.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from actors.columns import (
    DECODE_CHECK,
    DECODE_S,
    ERROR,
    HEIGHT,
    LOCATION,
    MESSAGE,
    PIXELS,
    READ_BYTES,
    SHARD,
    STAGE,
    URI,
    WIDTH,
    pack_pixels,
)
from actors.decoding.config import FittedImage
from actors.decoding.decode import decode_scaled
from actors.decoding.gpu_check import Checked, DecodeCheck
from actors.errors import DecoderMismatchError, ImageError
from actors.messages import redacted
from actors.pixel_arrays import put, to_host
from actors.preprocess import Preprocess, fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.decoding.config import BatchDecoder, Decode, FittedBatch
    from actors.pixel_arrays import Pixels


class PixelBlock(NamedTuple):
    """Rows and their pixels, which stay on the decoding device until `packed`."""

    rows: pa.Table
    pixels_nhwc: Pixels
    """uint8 (n, height, width, 3); zeros in rows with an error."""

    def packed(self) -> pa.Table:
        """Returns the rows with their pixels in the column `PIXELS`, which another process can read."""
        return self.rows.append_column(PIXELS, pack_pixels(to_host(self.pixels_nhwc)))

    @classmethod
    def joined(cls, blocks: Sequence[PixelBlock]) -> PixelBlock:
        """Joins several blocks into one, with its pixels in CPU memory."""
        rows = pa.concat_tables([block.rows for block in blocks]).combine_chunks()
        return cls(rows, np.concatenate([to_host(block.pixels_nhwc) for block in blocks]))


def pixel_columns(
    images: Sequence[bytes | np.ndarray | ImageError],
    limits: Decode,
    preprocess: Preprocess,
    decoder: BatchDecoder | None = None,
) -> dict[str, pa.Array]:
    """Decodes ``images`` like `decode_batch`, to the column `PIXELS` and its other columns."""
    pixels_nhwc, columns = decode_batch(images, limits, preprocess, decoder)
    return {PIXELS: pack_pixels(to_host(pixels_nhwc)), **columns}


def decode_batch(
    images: Sequence[bytes | np.ndarray | ImageError],
    limits: Decode,
    preprocess: Preprocess,
    decoder: BatchDecoder | None = None,
) -> tuple[Pixels, dict[str, pa.Array]]:
    """Decodes ``images``, in order, to pixels (n, height, width, 3) and the columns `HEIGHT`, `WIDTH`, `DECODE_S`,
    `STAGE`, `ERROR` and `MESSAGE`; with a ``decoder``, also `DECODE_CHECK`.

    Args:
        images: encoded bytes, uint8 RGB arrays (height, width, 3), or the error from reading one.
        limits: checked before an image is decoded.
        preprocess: resize and crop. Rows with an error have zeros as pixels, height and width.
        decoder: decodes the encoded images that it supports, with the same limits and preprocessing, with results
            checked; the CPU decodes the others. Its batch time is spread evenly over its images. Pixels are on its
            device.

    Raises:
        DeviceError: this process can no longer use the decoder's device, or it has no memory left.
        DecoderMismatchError: the decoder returns wrong pixels.
    """
    # One array per batch, filled in place: the column shares its memory.
    pixels = np.empty((len(images), *preprocess.size, 3), np.uint8)
    sources_hw = np.zeros((len(images), 2), np.int32)
    seconds = np.zeros(len(images), np.float32)
    errors: list[ImageError | None] = []
    by_gpu, checked = _decode(images, decoder, DecodeCheck(limits, preprocess), seconds) if decoder else (None, {})
    by_cpu: list[int] = []
    for number, image in enumerate(images):
        started = time.perf_counter()
        outcome = checked[number].by_cpu if number in checked else _fit(image, limits, preprocess)
        errors.append(outcome if isinstance(outcome, ImageError) else None)
        if outcome is None:
            sources_hw[number] = checked[number].source_hw
        else:
            by_cpu.append(number)
            pixels[number], sources_hw[number] = outcome if isinstance(outcome, FittedImage) else (0, 0)
        seconds[number] += time.perf_counter() - started
    columns = {
        HEIGHT: pa.array(sources_hw[:, 0]),
        WIDTH: pa.array(sources_hw[:, 1]),
        DECODE_S: pa.array(seconds),
        **error_columns(errors),
    }
    if by_gpu is None:
        return pixels, columns
    if by_cpu:
        put(by_gpu.pixels_nhwc, by_cpu, pixels[by_cpu])
    reasons = [checked[number].reason if number in checked else None for number in range(len(images))]
    return by_gpu.pixels_nhwc, {**columns, DECODE_CHECK: pa.array(reasons, pa.string())}


def pixel_block(
    rows: pa.Table,
    images: Sequence[bytes | ImageError],
    limits: Decode,
    preprocess: Preprocess,
    decoder: BatchDecoder | None = None,
) -> PixelBlock:
    """Builds a block from ``rows`` of an inventory: their columns except the location, then `READ_BYTES` and the
    columns of `decode_batch` for their ``images``.

    Raises:
        DecoderMismatchError: see `decode_batch`; it names the image and its shard.
    """
    sizes = [len(image) if isinstance(image, bytes) else 0 for image in images]
    block = rows.drop_columns(list(LOCATION)).append_column(READ_BYTES, pa.array(sizes, pa.int64()))
    with locating_mismatches(rows):
        pixels_nhwc, columns = decode_batch(images, limits, preprocess, decoder)
    for name, column in columns.items():
        block = block.append_column(name, column)
    return PixelBlock(block, pixels_nhwc)


@contextmanager
def locating_mismatches(rows: pa.Table) -> Iterator[None]:
    """Adds shard and image to a DecoderMismatchError that `decode_batch` raises for ``rows`` of an inventory."""
    try:
        yield
    except DecoderMismatchError as error:
        shard, uri = (rows[name][error.place].as_py() for name in (SHARD, URI))
        raise DecoderMismatchError(f"shard {shard}: {redacted(uri)}: {error.seen}", error.place) from None


def _decode(
    images: Sequence[bytes | np.ndarray | ImageError], decoder: BatchDecoder, check: DecodeCheck, seconds: np.ndarray
) -> tuple[FittedBatch, dict[int, Checked]]:
    """Decodes with ``decoder``, and checks the results. Adds the time to ``seconds`` of the encoded images."""
    started = time.perf_counter()
    encoded = [image if isinstance(image, bytes) else b"" for image in images]
    by_gpu = decoder(encoded)
    checked = check(encoded, by_gpu)
    places = np.flatnonzero([isinstance(image, bytes) for image in images])
    seconds[places] = (time.perf_counter() - started) / max(1, len(places))
    return by_gpu, checked


def _fit(image: bytes | np.ndarray | ImageError, limits: Decode, preprocess: Preprocess) -> FittedImage | ImageError:
    if isinstance(image, ImageError):
        return image
    try:
        if isinstance(image, np.ndarray):
            return FittedImage(fit(checked_pixels(image), preprocess), (image.shape[0], image.shape[1]))
        # A resize that skips pixels must find each at its place in the whole image.
        needed = preprocess.resized if preprocess.sees_all else _whole
        decoded = decode_scaled(image, limits, needed)
        return FittedImage(fit(decoded.image_hwc, preprocess, decoded.extent), decoded.source_hw)
    except ImageError as error:
        return error


def _whole(height: int, width: int) -> tuple[int, int]:
    return height, width


def checked_pixels(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != _HWC or image.shape[2] != _RGB or 0 in image.shape:
        raise ImageError("decode", "unsupported", f"needs uint8 (height, width, 3), got {image.dtype} {image.shape}")
    return image


_HWC = 3  # axes
_RGB = 3  # channels


def error_columns(errors: Sequence[ImageError | None]) -> dict[str, pa.Array]:
    return {
        STAGE: pa.array([error and error.stage for error in errors], pa.string()),
        ERROR: pa.array([error and error.kind for error in errors], pa.string()),
        MESSAGE: pa.array([error and error.message for error in errors], pa.string()),
    }
