"""The model behind the endpoint: one predictor in each replica, which gets images in batches. Runs on workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from ray import serve

from actors.columns import HEIGHT, WIDTH
from actors.decoding.pixel_blocks import error_columns
from actors.device_errors import DeviceLostError
from actors.predictor import Predictor
from jobs.serving.rows import Row, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.recipe import Recipe


class FittedPixels(NamedTuple):
    """A decoded image on its way to the model."""

    image_hwc: np.ndarray
    """uint8 (height, width, 3) of the model's input."""
    source_hw: tuple[int, int]
    """Height and width of the upright source."""


class Answer(NamedTuple):
    """The row of an image, and the number of images in its batch."""

    row: Row
    batch_size: int


class ModelReplica:
    """Holds one predictor; a replica is ready once the golden images of its bundle, if any, have the right answers."""

    def __init__(self, recipe: Recipe, batch_size: int, batch_wait_s: float) -> None:
        self._predictor = Predictor(recipe)
        self._lost: DeviceLostError | None = None
        batches: Any = self.predict  # typed as a plain function; the decorator adds the setters
        batches.set_max_batch_size(batch_size)
        batches.set_batch_wait_timeout_s(batch_wait_s)

    @serve.batch
    async def predict(self, images: list[FittedPixels]) -> list[Answer]:
        try:
            rows = await asyncio.to_thread(predict_rows, self._predictor, images)
        except DeviceLostError as error:
            self._lost = error
            raise
        return [Answer(row, len(images)) for row in rows]

    async def is_ready(self) -> bool:
        return self._lost is None

    def check_health(self) -> None:
        """Raises for a lost device: Ray Serve then replaces the replica."""
        if self._lost is not None:
            raise self._lost


def predict_rows(predictor: Predictor, images: Sequence[FittedPixels]) -> list[Row]:
    """One row per image, in order, with the columns that a job writes."""
    sizes = np.array([image.source_hw for image in images], np.int32)
    columns = {HEIGHT: pa.array(sizes[:, 0]), WIDTH: pa.array(sizes[:, 1]), **error_columns([None] * len(images))}
    return rows_of(predictor.predict_block(pa.table(columns), np.stack([image.image_hwc for image in images])))
