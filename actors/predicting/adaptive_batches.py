"""Batches that shrink when the device runs out of memory, and grow again, and bisection to find the image on which an
engine fails. Runs in the predictor.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from actors.device_errors import DeviceLostError, DeviceMemoryError, too_large
from actors.errors import ImageError, JobError
from actors.messages import one_line
from actors.predicting.batch_size_backoff import BatchSizeBackoff
from actors.predicting.block_images import BlockImages
from actors.predicting.double_buffering import overlapped
from actors.predicting.output_checks import SHAPE_FIX, Expected, OutputShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.engines.base import Engine, Pending
    from actors.pixel_arrays import Pixels
    from actors.tasks.base import Outputs

LOG = logging.getLogger("shardlens")


class ElasticBatches:
    """Runs an engine so that one bad image fails alone.

    When the device runs out of memory for a batch, halves this and the following batches until enough of them succeed.
    A batch that fails for another reason keeps its size: it is bisected, with the other half blank, and so on. An image
    that fails alone gets an error.

    If the engine overlaps, starts each batch before the previous one is done. After a failure, runs the rest of the
    call one batch at a time; only failures in that pass count.

    Args:
        engine: may raise anything.
        batch_size: images in each batch, padded with blank images. An engine's result for an image depends, in the last
            bits, on the number of images in the batch, but not on their content. So answers are bit-identical however
            images are batched. None runs batches as they come, without padding.
        expected: the outputs to return; a batch fails if one of them has another shape. None returns all outputs, in
            any shape.
    """

    def __init__(self, engine: Engine, batch_size: int | None = None, *, expected: Outputs | None = None) -> None:
        self.engine = engine
        self._expected = expected
        self._batch_size = batch_size
        self._backoff = BatchSizeBackoff()
        self._has_predicted = False
        self._num_failed: Counter[str] = Counter()

    def __call__(
        self, pixels_nhwc: np.ndarray | Sequence[Pixels], rows: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[int, ImageError]]:
        """Runs the engine on the images at ``rows``.

        Args:
            pixels_nhwc: uint8 of shape (n, height, width, 3), or several consecutive such arrays, which are not copied
                into one; may be read-only, or on the GPU.
            rows: positions across all arrays, ascending.

        Returns:
            Each output by name, with one entry per row without an error, in order; empty if all rows have errors. And
            the errors by row: ``predict/out_of_memory`` or ``predict/failed``.

        Raises:
            DeviceLostError: this process can no longer predict.
            JobError: the model does not fit into the memory of the device.
            Exception: the engine's own, if none of the first images succeeds: the model is wrong, not the images.
        """
        images = BlockImages([pixels_nhwc] if isinstance(pixels_nhwc, np.ndarray) else pixels_nhwc)
        num_halvings = self._backoff.num_halvings
        parts = list(self._overlapped(images, rows)) if self.engine.overlaps else []
        errors: dict[int, ImageError] = {}
        num_done = sum(map(_num_images, parts))
        # A stack, with the first rows on top, so that outputs are in row order.
        waiting = [rows[num_done:]] if len(rows) > num_done else []
        while waiting:
            piece, size = waiting.pop(), self._size(rows)
            if len(piece) > size:
                waiting.append(piece[size:])
                piece = piece[:size]
            outcome = self._try(images, piece, size)
            if not isinstance(outcome, ImageError):
                parts.append(outcome)
            elif smaller := self._smaller(piece, size, outcome):
                waiting += smaller
            else:
                errors[int(piece[0])] = outcome
                if outcome.kind == _OUT_OF_MEMORY:
                    self._backoff.num_halvings = num_halvings  # only this image needs that much memory
        return joined(parts), errors

    def _overlapped(self, images: BlockImages, rows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Yields outputs batch by batch, until a batch fails, which the caller retries alone."""
        if len(rows) <= self._size(rows):
            return
        for (piece, _), outputs in overlapped(lambda cut: self._start(images, *cut), self._cuts(rows)):
            yield self._succeeded(piece, outputs)

    def _cuts(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yields pieces of ``rows``, each with the current batch size."""
        start = 0
        while start < len(rows):
            size = self._size(rows)
            yield rows[start : start + size], size
            start += size

    def _size(self, rows: np.ndarray) -> int:
        """Returns the number of images in the next full batch."""
        return max(1, (self._batch_size or len(rows)) >> self._backoff.num_halvings)

    def _start(self, images: BlockImages, piece: np.ndarray, size: int) -> Pending:
        pending = self.engine.start(images.batch(piece, size if self._batch_size else len(piece)))
        return pending if self._expected is None else Expected(pending, self._expected)

    def _try(self, images: BlockImages, piece: np.ndarray, size: int) -> dict[str, np.ndarray] | ImageError:
        """Runs a batch and returns outputs for the images of ``piece``, or the reason why it failed.

        Drops the exception, which would keep all tensors of the attempt alive: the next attempt needs their memory.
        """
        try:
            outputs = self._start(images, piece, size).result()
        except (JobError, DeviceLostError):
            raise
        except Exception as error:  # noqa: BLE001  the per-image guard: a user's network may raise anything
            failure = _image_error(error)
            # Out of memory in a padded batch says nothing about its single image: the batch is halved first.
            if len(piece) == 1 and (size == 1 or failure.kind != _OUT_OF_MEMORY):
                self._check_model(failure.kind, error)
            return failure
        return self._succeeded(piece, outputs)

    def _succeeded(self, piece: np.ndarray, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Records a good batch, and cuts its ``outputs`` to the images of ``piece``, which come first."""
        self._has_predicted = True
        self._backoff.record_success()
        return {name: values[: len(piece)] for name, values in outputs.items()}

    def _check_model(self, kind: str, error: Exception) -> None:
        """Raises, after an image has failed alone, if the model must be at fault."""
        self._num_failed[kind] += 1
        if self._has_predicted or self._num_failed[kind] < _TOO_MANY[kind]:
            return
        if kind == _OUT_OF_MEMORY:
            raise too_large(error) from error
        if isinstance(error, OutputShapeError):
            raise JobError(one_line(error), fix=SHAPE_FIX) from error
        raise error

    def _smaller(self, piece: np.ndarray, size: int, error: ImageError) -> list[np.ndarray]:
        """Returns smaller pieces to try after ``piece`` failed in a batch of ``size``, last first; none for 1 image."""
        if error.kind == _OUT_OF_MEMORY and size > 1:
            LOG.warning(
                "%d images at a time do not fit into the memory of the %s; continuing with %d",
                size,
                self.engine.device,
                size // 2,
            )
            self._backoff.record_failure()
            self.engine.release()
            return [piece]
        middle = (len(piece) + 1) // 2
        return [piece[middle:], piece[:middle]] if len(piece) > 1 else []


_OUT_OF_MEMORY, _FAILED = "out_of_memory", "failed"

# Number of images that fail alone before the first success, at which the model is at fault. A dataset may begin with a
# few images that a network rejects.
_TOO_MANY = {_OUT_OF_MEMORY: 3, _FAILED: 8}


def _image_error(error: Exception) -> ImageError:
    if isinstance(error, DeviceMemoryError | MemoryError):
        return ImageError("predict", _OUT_OF_MEMORY, f"does not fit into memory, even alone: {one_line(error)}")
    return ImageError("predict", _FAILED, f"{type(error).__name__}: {one_line(error)}")


def _num_images(part: dict[str, np.ndarray]) -> int:
    return len(next(iter(part.values())))


def joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Concatenates the outputs of ``parts``; a part without images has no outputs."""
    parts = [part for part in parts if part]
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
