"""Replicas of the model behind the endpoint: each has one predictor and receives images in batches. Runs on workers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from actors.columns import HEIGHT, WIDTH
from actors.decoding.pixel_blocks import error_columns
from actors.device_errors import DeviceLostError
from actors.predictor import Predictor
from jobs.serving.rows import Row, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from actors.decoding.config import Decode
    from actors.preprocess import Preprocess
    from actors.recipe import Recipe


@dataclass(frozen=True)
class ModelSettings:
    """Everything that the ingress needs to know about a model."""

    limits: Decode
    preprocess: Preprocess
    fields: Sequence[pa.Field]
    """The task's columns."""


class FittedBatch(NamedTuple):
    """Decoded images on their way to the model."""

    pixels_nhwc: np.ndarray
    """uint8 (n, height, width, 3), in the size of the model's input."""
    sources_hw: np.ndarray
    """int32 (n, 2): heights and widths of the upright sources."""


class ModelReplica:
    """Holds one predictor. A replica is ready once the golden images of its bundle, if any, have the right answers."""

    def __init__(self, recipe: Recipe) -> None:
        self._predictor = Predictor(recipe)
        self._turn = asyncio.Lock()
        self._lost: DeviceLostError | None = None

    async def predict(self, batch: FittedBatch) -> list[Row]:
        """Returns one row per image, in order; batches that arrive meanwhile wait."""
        async with self._turn:
            try:
                return await asyncio.to_thread(predict_rows, self._predictor, batch)
            except DeviceLostError as error:
                self._lost = error
                raise

    async def settings(self) -> ModelSettings:
        recipe = self._predictor.recipe
        return ModelSettings(recipe.limits, recipe.model.preprocess, self._predictor.fields)

    async def is_ready(self) -> bool:
        return self._lost is None

    def check_health(self) -> None:
        """Raises if the device is lost; Ray Serve then replaces the replica."""
        if self._lost is not None:
            raise self._lost


def predict_rows(predictor: Predictor, batch: FittedBatch) -> list[Row]:
    """Returns one row per image, in order, with the columns that a job writes."""
    heights, widths = batch.sources_hw.T
    columns = {HEIGHT: pa.array(heights), WIDTH: pa.array(widths), **error_columns([None] * len(heights))}
    return rows_of(predictor.predict_block(pa.table(columns), batch.pixels_nhwc))
