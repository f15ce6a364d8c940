"""Predicts pictures tile by tile: each picture is decoded once, its tiles fill the engine's batches, and its boxes are
joined in one row. Runs in the predictor.

Memory is bounded by one decoded picture, one call of the engine, and the boxes.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from actors.decoding.decode import decode
from actors.decoding.pixel_blocks import checked_pixels
from actors.errors import ImageError, JobError
from actors.geometry import Geometry
from actors.preprocess import fit
from actors.tasks.context import BatchContext
from actors.tasks.detection.candidates import Candidates
from actors.tasks.detection.tile_merging import TileBoxes, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from actors.decoding.config import Decode
    from actors.predicting.adaptive_batches import ElasticBatches
    from actors.preprocess import Preprocess
    from actors.tasks.detect import Detect
    from actors.tasks.detection.tile import Tile

    Picture = bytes | np.ndarray

DECODE, PREDICT = "decode", "predict"


class Watch(Protocol):
    """Wraps each decoding of a picture and each call of the engine; called with `DECODE` or `PREDICT`."""

    def __call__(self, stage: str, /) -> AbstractContextManager[None]: ...


def unwatched(stage: str) -> AbstractContextManager[None]:  # noqa: ARG001
    """Watches nothing, for callers whose process cannot hang."""
    return nullcontext()


class FoundRows(NamedTuple):
    """The result for n pictures."""

    found: Candidates
    """Boxes in pixels of the pictures, best first; ``images`` counts from 0, and ``valid`` is true without an error."""
    sizes_hw: np.ndarray
    """Height and width of each upright picture, int32 (n, 2); 0 if it has an error."""
    errors: dict[int, ImageError]
    """Errors by position."""
    decode_s: np.ndarray
    """Decoding time of each picture in seconds, float32 (n,)."""
    predict_s: np.ndarray


class TiledPictures:
    """Cuts pictures into tiles, and merges what the engine finds in them.

    Args:
        batches: runs the engine.
        task: determines the tiles, and finds boxes in the outputs.
        labels: class names.
        preprocess: resize and crop of each tile.
        limits: decoding limits, which apply to whole pictures.

    Raises:
        JobError: the model would not see a whole tile.
    """

    def __init__(
        self,
        batches: ElasticBatches,
        task: Detect,
        labels: Sequence[str] | None,
        preprocess: Preprocess,
        limits: Decode,
    ) -> None:
        self.batches, self.task, self.labels = batches, task, labels
        self.preprocess, self.limits = preprocess, limits
        height, width = task.tile.side_hw
        [[left, top, right, bottom]] = np.rint(Geometry.of(preprocess, [(height, width)]).shown).astype(int)
        if (left, top, right, bottom) != (0, 0, width, height):
            raise JobError(
                f"task.tile.size={task.tile.size}: model.preprocess crops tiles, so that the model would see only "
                f"{right - left} by {bottom - top} of {width} by {height} pixels",
                fix="give model.preprocess.resize and crop=null, or the crop as task.tile.size",
            )

    def __call__(
        self,
        images: Sequence[Picture],
        *,
        batch_size: int,
        watch: Watch = unwatched,
        inspect: Callable[[np.ndarray], None] | None = None,
    ) -> FoundRows:
        """Predicts ``images``: encoded bytes, or uint8 RGB arrays (height, width, 3).

        An error in a tile becomes the error of its picture, and names the tile.

        Args:
            images: the pictures; each gets an entry.
            batch_size: tiles in a batch.
            watch: wraps each long step.
            inspect: called with the tiles before each call of the engine.

        Raises:
            DeviceLostError: as in `ElasticBatches`, like JobError and the engine's own exceptions.
        """
        calls = _BATCHES_A_CALL if self.batches.engine.overlaps else 1
        run = _Run(self, len(images), batch_size * calls, watch, inspect)
        for number, image in enumerate(images):
            run.add(number, image)
        run.flush()
        return run.result()


# Number of batches passed together to an engine that overlaps them.
_BATCHES_A_CALL = 4


def cut(image_hwc: np.ndarray, places: np.ndarray, preprocess: Preprocess) -> Iterator[np.ndarray]:
    """Yields the tiles of a picture at ``places``, fitted for the model: uint8 (height, width, 3)."""
    for left, top, right, bottom in places:
        yield fit(image_hwc[top:bottom, left:right], preprocess)


@dataclass
class _OpenPicture:
    """A picture whose tiles have not all been predicted."""

    places: np.ndarray
    """The result of `Tile.places`."""
    shown: np.ndarray
    """The part of the picture that the model sees in each tile, once it has seen the tile, int64 (n, 4)."""
    parts: list[TileBoxes] = field(default_factory=list)


class _Run:
    """State of one call of `TiledPictures`."""

    def __init__(
        self,
        tiled: TiledPictures,
        num_images: int,
        num_tiles: int,
        watch: Watch,
        inspect: Callable[[np.ndarray], None] | None,
    ) -> None:
        self._tiled, self._watch, self._inspect = tiled, watch, inspect
        self._pixels_nhwc = np.empty((num_tiles, *tiled.preprocess.size, 3), np.uint8)
        self._tiles: list[tuple[int, int]] = []  # picture and number of each waiting tile
        self._open: dict[int, _OpenPicture] = {}
        self._merged: dict[int, TileBoxes] = {}
        self._errors: dict[int, ImageError] = {}
        self._sizes_hw = np.zeros((num_images, 2), np.int32)
        self._decode_s, self._predict_s = np.zeros((2, num_images), np.float32)

    def add(self, number: int, image: Picture) -> None:
        """Adds the tiles of a picture, and predicts full batches."""
        for tile_hwc in self._cut(number, image):
            self._pixels_nhwc[len(self._tiles)] = tile_hwc
            self._tiles.append((number, self._next_tile))
            self._next_tile += 1
            if len(self._tiles) == len(self._pixels_nhwc):
                self.flush(current=number)
            if number in self._errors:  # its other tiles cannot help
                break

    def _cut(self, number: int, image: Picture) -> Iterator[np.ndarray]:
        """Decodes a picture, which is freed with this generator."""
        self._next_tile = 0
        started = time.perf_counter()
        try:
            with self._watch(DECODE):
                image_hwc = decode(image, self._tiled.limits) if isinstance(image, bytes) else checked_pixels(image)
        except ImageError as error:
            self._errors[number] = error
            return
        finally:
            self._decode_s[number] = time.perf_counter() - started
        height, width = image_hwc.shape[:2]
        self._sizes_hw[number] = height, width
        places = self._tile.places(height, width)
        self._open[number] = _OpenPicture(places, places.copy())
        yield from cut(image_hwc, places, self._tiled.preprocess)

    @property
    def _tile(self) -> Tile:
        return self._tiled.task.tile

    def flush(self, current: int | None = None) -> None:
        """Predicts the waiting tiles, and merges the finished pictures: all but ``current``."""
        if self._tiles:
            started = time.perf_counter()
            with self._watch(PREDICT):
                self._predict()
            pictures = np.array([picture for picture, _ in self._tiles])
            np.add.at(self._predict_s, pictures, (time.perf_counter() - started) / len(pictures))
            self._tiles = []
        for number in [number for number in self._open if number != current]:
            picture = self._open.pop(number)
            if number not in self._errors and picture.parts:
                boxes = TileBoxes.joined(picture.parts)
                agnostic = self._tiled.task.class_agnostic
                self._merged[number] = merged(boxes, picture.shown, self._tile, class_agnostic=agnostic)

    def _predict(self) -> None:
        pixels_nhwc = self._pixels_nhwc[: len(self._tiles)]
        if self._inspect is not None:
            self._inspect(pixels_nhwc)
        rows = np.arange(len(self._tiles))
        tensors, errors = self._tiled.batches(pixels_nhwc, rows)
        for row, error in errors.items():
            self._fail(row, error)
        if tensors:
            self._keep(tensors, np.setdiff1d(rows, list(errors), assume_unique=True))

    def _keep(self, tensors: dict[str, np.ndarray], rows: np.ndarray) -> None:
        """Stores the boxes in the outputs for the waiting tiles at ``rows``."""
        task, owners = self._tiled.task, [self._tiles[row] for row in rows]
        places = np.stack([self._open[picture].places[number] for picture, number in owners])
        sizes_hw = (places[:, 2:] - places[:, :2])[:, ::-1].astype(np.int32)
        context = BatchContext(self._tiled.labels, self._tiled.preprocess, sizes_hw)
        found = task.in_source(task.find(tensors, context), context)
        for row in rows[~found.valid]:
            self._fail(int(row), _NOT_FINITE)
        offsets = np.tile(places[:, :2], 2)
        shown = np.rint(context.geometry.shown).astype(np.int64) + offsets
        boxes = found.boxes_xyxy + offsets[found.images].astype(np.float32)
        pictures, numbers = np.array(owners).T
        whole = TileBoxes(boxes, found.scores, found.label_ids, numbers[found.images])
        for picture in np.unique(pictures):
            own = pictures == picture
            self._open[picture].shown[numbers[own]] = shown[own]
            self._open[picture].parts.append(whole.take(np.flatnonzero(own[found.images])))

    def _fail(self, row: int, error: ImageError) -> None:
        picture, number = self._tiles[row]
        left, top, right, bottom = self._open[picture].places[number]
        where = f"tile {number}, pixels {left} to {right} by {top} to {bottom}"
        self._errors.setdefault(picture, ImageError(error.stage, error.kind, f"{where}: {error.message}"))

    def result(self) -> FoundRows:
        num_images = len(self._sizes_hw)
        valid = np.ones(num_images, bool)
        valid[list(self._errors)] = False
        numbers = sorted(self._merged)
        sizes = [len(self._merged[number].scores) for number in numbers]
        boxes = TileBoxes.joined([_NOTHING, *(self._merged[number] for number in numbers)])
        found = Candidates(
            np.repeat(np.array(numbers, np.int64), sizes),
            boxes.boxes_xyxy,
            boxes.scores,
            boxes.label_ids,
            np.zeros(len(boxes.scores), np.int64),
            valid,
        )
        sizes_hw = np.where(valid[:, None], self._sizes_hw, 0)
        return FoundRows(found, sizes_hw, self._errors, self._decode_s, self._predict_s)


_NOT_FINITE = ImageError("predict", "not_finite", "the model gave a value that is not a finite number")
_NOTHING = TileBoxes(
    np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, np.int64)
)
