"""Batches that shrink where the device has no room and grow back, and the search for the image that an engine fails
on. Runs in the predictor.
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
from actors.predicting.output_checks import SHAPE_CURE, Expected, OutputShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.engines.base import Engine, Pending
    from actors.tasks.base import Outputs

LOG = logging.getLogger("shardlens")


class ElasticBatches:
    """Runs an engine so that no image takes others with it.

    A batch for which the device has no room is halved, and so are those that follow, until enough of them went well.
    A batch that fails otherwise keeps its size: first one half of its images is blanked in it, then the other, and so
    on. What fails alone gets an error.

    Where the engine overlaps, each batch is started before the one before is done. After a failure the rest of a call
    goes one batch at a time, and only what fails then counts.

    Args:
        engine: it may raise anything.
        batch_size: images of each batch; missing ones are blank. What an engine computes for an image depends on the
            number of images beside it, in the last bits, but on nothing else of them: so answers are equal bit for
            bit, however images are batched. When not given, batches are what comes, and none is padded.
        expected: the outputs that are wanted; a batch for which one of them has another shape fails. All, and of any
            shape, when not given.
    """

    def __init__(self, engine: Engine, batch_size: int | None = None, *, expected: Outputs | None = None) -> None:
        self.engine = engine
        self._expected = expected
        self._batch_size = batch_size
        self._halvings = BatchSizeBackoff()
        self._has_predicted = False
        self._num_failed: Counter[str] = Counter()

    def __call__(
        self, pixels_nhwc: np.ndarray | Sequence[np.ndarray], rows: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[int, ImageError]]:
        """Outputs for the images at ``rows``, and errors for those that have none.

        Args:
            pixels_nhwc: uint8 of shape (n, height, width, 3), or several such that belong one behind the other, which
                are not copied into one; may be read-only.
            rows: positions in all of them, ascending.

        Returns:
            Each output by name, one entry for each of the rows that has no error, in order; nothing where all have
            one. And the errors, by row: ``predict/out_of_memory`` or ``predict/failed``.

        Raises:
            DeviceLostError: this process can predict no more.
            JobError: the model does not fit into the memory of the device.
            Exception: the engine's own, where none of the first images went through: the model is wrong, not they.
        """
        images = BlockImages([pixels_nhwc] if isinstance(pixels_nhwc, np.ndarray) else pixels_nhwc)
        num_halvings = self._halvings.number
        parts = list(self._overlapped(images, rows)) if self.engine.overlaps else []
        errors: dict[int, ImageError] = {}
        num_done = sum(map(_num_images, parts))
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
                    self._halvings.number = num_halvings  # the image needs much memory; the others did fit
        return joined(parts), errors

    def _overlapped(self, images: BlockImages, rows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Outputs for the images of one batch after the other, up to one that fails: then it is to be tried alone."""
        if len(rows) <= self._size(rows):
            return
        for (piece, _), outputs in overlapped(lambda cut: self._start(images, *cut), self._cuts(rows)):
            yield self._went_well(piece, outputs)

    def _cuts(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Pieces of ``rows``, and the size that batches have when they are asked for."""
        start = 0
        while start < len(rows):
            size = self._size(rows)
            yield rows[start : start + size], size
            start += size

    def _size(self, rows: np.ndarray) -> int:
        """Images of the next batch, where there are so many."""
        return max(1, (self._batch_size or len(rows)) >> self._halvings.number)

    def _start(self, images: BlockImages, piece: np.ndarray, size: int) -> Pending:
        pending = self.engine.start(images.batch(piece, size if self._batch_size else len(piece)))
        return pending if self._expected is None else Expected(pending, self._expected)

    def _try(self, images: BlockImages, piece: np.ndarray, size: int) -> dict[str, np.ndarray] | ImageError:
        """Outputs for the images of ``piece``, or why they have none.

        The exception stays here: it would keep alive all tensors of the attempt, and the next one needs their memory.
        """
        try:
            outputs = self._start(images, piece, size).result()
        except (JobError, DeviceLostError):
            raise
        except Exception as error:  # noqa: BLE001  the guard of each image: a user's network may raise anything
            failure = _image_error(error)
            if len(piece) == 1 and (size == 1 or failure.kind != _OUT_OF_MEMORY):
                self._judge(failure.kind, error)
            return failure
        return self._went_well(piece, outputs)

    def _went_well(self, piece: np.ndarray, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The ``outputs`` of a batch for the images of ``piece``, which are its first."""
        self._has_predicted = True
        self._halvings.went_well()
        return {name: values[: len(piece)] for name, values in outputs.items()}

    def _judge(self, kind: str, error: Exception) -> None:
        """Raises, after an image failed alone, where the model must be to blame."""
        self._num_failed[kind] += 1
        if self._has_predicted or self._num_failed[kind] < _TOO_MANY[kind]:
            return
        if kind == _OUT_OF_MEMORY:
            raise too_large(error) from error
        if isinstance(error, OutputShapeError):
            raise JobError(one_line(error), cure=SHAPE_CURE) from error
        raise error

    def _smaller(self, piece: np.ndarray, size: int, error: ImageError) -> list[np.ndarray]:
        """What to try after ``piece`` has failed in a batch of ``size``, last first; nothing if its one image did."""
        if error.kind == _OUT_OF_MEMORY and size > 1:
            LOG.warning(
                "%d images at a time do not fit into the memory of the %s: going on with %d",
                size,
                self.engine.device,
                size // 2,
            )
            self._halvings.went_wrong()
            self.engine.release()
            return [piece]
        middle = (len(piece) + 1) // 2
        return [piece[middle:], piece[:middle]] if len(piece) > 1 else []


_OUT_OF_MEMORY, _FAILED = "out_of_memory", "failed"

# Images that fail alone before any goes through. A dataset may well begin with a few that a network refuses.
_TOO_MANY = {_OUT_OF_MEMORY: 3, _FAILED: 8}


def _image_error(error: Exception) -> ImageError:
    if isinstance(error, DeviceMemoryError | MemoryError):
        return ImageError("predict", _OUT_OF_MEMORY, f"does not fit into memory, even alone: {one_line(error)}")
    return ImageError("predict", _FAILED, f"{type(error).__name__}: {one_line(error)}")


def _num_images(part: dict[str, np.ndarray]) -> int:
    return len(next(iter(part.values())))


def joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The outputs of ``parts``, one behind the other; a part without images has none."""
    parts = [part for part in parts if part]
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
