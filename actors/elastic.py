"""Batches that shrink where the device has no room and grow back, and the search for the image that an engine fails
on. Runs in the predictor.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actors.engines.device_errors import DeviceLostError, DeviceMemoryError, too_large
from actors.errors import ImageError, JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from actors.engines.base import Engine

LOG = logging.getLogger("shardlens")


class ElasticBatches:
    """Runs an engine so that no image takes others with it.

    A batch for which the device has no room is halved, and so are those that follow, until enough of them went well.
    A batch that fails otherwise keeps its size: first one half of its images is blanked in it, then the other, and so
    on. What fails alone gets an error.

    Args:
        engine: it may raise anything.
        batch_size: images of each batch; missing ones are blank. What an engine computes for an image depends on the
            number of images beside it, in the last bits, but on nothing else of them: so answers are equal bit for
            bit, however images are batched. When not given, batches are what comes, and none is padded.
    """

    def __init__(self, engine: Engine, batch_size: int | None = None) -> None:
        self.engine = engine
        self._batch_size = batch_size
        self._halvings = _Halvings()
        self._has_predicted = False
        self._num_failed: Counter[str] = Counter()

    def __call__(
        self, pixels_nhwc: np.ndarray, rows: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[int, ImageError]]:
        """Outputs for the images at ``rows``, and errors for those that have none.

        Args:
            pixels_nhwc: uint8 of shape (n, height, width, 3); may be read-only.
            rows: positions in it, ascending.

        Returns:
            Each output by name, one entry for each of the rows that has no error, in order; nothing where all have
            one. And the errors, by row: ``predict/out_of_memory`` or ``predict/failed``.

        Raises:
            DeviceLostError: this process can predict no more.
            JobError: the model does not fit into the memory of the device.
            Exception: the engine's own, where none of the first images went through: the model is wrong, not they.
        """
        parts: list[dict[str, np.ndarray]] = []
        errors: dict[int, ImageError] = {}
        num_halvings = self._halvings.number
        waiting = [rows] if len(rows) else []
        while waiting:
            piece, size = waiting.pop(), max(1, (self._batch_size or len(rows)) >> self._halvings.number)
            if len(piece) > size:
                waiting.append(piece[size:])
                piece = piece[:size]
            outcome = self._try(pixels_nhwc, piece, size)
            if not isinstance(outcome, ImageError):
                parts.append(outcome)
            elif smaller := self._smaller(piece, size, outcome):
                waiting += smaller
            else:
                errors[int(piece[0])] = outcome
                if outcome.kind == _OUT_OF_MEMORY:
                    self._halvings.number = num_halvings  # the image needs much memory; the others did fit
        return _joined(parts), errors

    def _try(self, pixels_nhwc: np.ndarray, piece: np.ndarray, size: int) -> dict[str, np.ndarray] | ImageError:
        """Outputs for the images of ``piece``, or why they have none.

        The exception stays here: it would keep alive all tensors of the attempt, and the next one needs their memory.
        """
        try:
            outputs = self.engine(_batch(pixels_nhwc, piece, size if self._batch_size else len(piece)))
        except (JobError, DeviceLostError):
            raise
        except Exception as error:  # noqa: BLE001  the guard of each image: a user's network may raise anything
            failure = _image_error(error)
            if len(piece) == 1 and (size == 1 or failure.kind != _OUT_OF_MEMORY):
                self._judge(failure.kind, error)
            return failure
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


_FIRST_WAIT, _LONGEST_WAIT = 8, 1024  # batches


@dataclass
class _Halvings:
    """How often the full batch is halved. After a failure it takes some batches until the next larger one is tried,
    and twice as many if that one fails, too.
    """

    number: int = 0
    wait: int = _FIRST_WAIT
    num_well: int = 0
    """Batches in turn that went well."""
    has_grown: bool = False

    def went_wrong(self) -> None:
        if self.has_grown:
            self.wait = min(2 * self.wait, _LONGEST_WAIT)
        self.number, self.num_well, self.has_grown = self.number + 1, 0, False

    def went_well(self) -> None:
        self.num_well += 1
        if self.num_well < self.wait:
            return
        self.num_well = 0
        if self.number:
            self.number, self.has_grown = self.number - 1, True
        else:
            self.wait, self.has_grown = _FIRST_WAIT, False


_OUT_OF_MEMORY, _FAILED = "out_of_memory", "failed"

# Images that fail alone before any goes through. A dataset may well begin with a few that a network refuses.
_TOO_MANY = {_OUT_OF_MEMORY: 3, _FAILED: 8}


def _image_error(error: Exception) -> ImageError:
    if isinstance(error, DeviceMemoryError | MemoryError):
        return ImageError("predict", _OUT_OF_MEMORY, f"does not fit into memory, even alone: {one_line(error)}")
    return ImageError("predict", _FAILED, f"{type(error).__name__}: {one_line(error)}")


def _batch(pixels_nhwc: np.ndarray, piece: np.ndarray, size: int) -> np.ndarray:
    """The images of ``piece``, then blank ones; free of copies where none is blank and they lie in a row."""
    start, stop = int(piece[0]), int(piece[-1]) + 1
    if stop - start == len(piece) == size:
        return pixels_nhwc[start:stop]
    batch = np.zeros((size, *pixels_nhwc.shape[1:]), np.uint8)
    batch[: len(piece)] = pixels_nhwc[piece]
    return batch


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
