"""Images in, columns out: the model of a recipe, loaded once. The same class serves Python callers, without a
cluster, and each predictor actor of a job.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.columns import DECODE_S, ERROR, MESSAGE, PIXELS, PREDICT_S, STAGE, URI, unpack_pixels
from actors.decode import Decode
from actors.engines.base import EngineConfig, TorchEngineConfig, load_engine
from actors.errors import ImageError
from actors.fetch import read_image
from actors.models import Model, read_labels
from actors.pixels import pixel_columns
from actors.storage import Storage
from actors.tasks.base import Outputs, Task
from actors.tasks.classify import Classify

if TYPE_CHECKING:
    from collections.abc import Sequence

    Image = str | Path | bytes | np.ndarray


class Predictor:
    """Loads the model on construction and predicts from then on.

    Args:
        model: architecture, weights, pre-processing and labels.
        engine: what executes it; torch in fp32 when not given.
        task: what is wanted; the five best classes when not given.
        limits: what is refused before it is decoded.

    Raises:
        JobError: the recipe cannot work; the message names the key and the cure.
    """

    def __init__(
        self,
        model: Model,
        *,
        engine: EngineConfig | None = None,
        task: Task | None = None,
        limits: Decode | None = None,
    ) -> None:
        self.model = model
        self.task = task or Classify()
        self.limits = limits or Decode()
        self.labels = read_labels(model)
        self.engine = load_engine(engine or TorchEngineConfig(), model)
        self.outputs = Outputs.of(self.engine(np.zeros((1, *model.preprocess.size, 3), np.uint8)))
        self.fields = self.task.fields(self.outputs, self.labels)

    def predict(self, images: Sequence[Image], *, batch_size: int = 32) -> pa.Table:
        """One row an image, in order: ``uri`` (null unless a path was given), the task's columns, and ``stage``,
        ``error`` and ``message``, which are null where the image was predicted and say what is wrong where not.

        Args:
            images: paths or URIs, encoded bytes, or uint8 RGB arrays of shape (height, width, 3).
            batch_size: how many images the engine gets at a time.
        """
        starts = range(0, max(1, len(images)), batch_size)
        return pa.concat_tables([self._predict(images[start : start + batch_size]) for start in starts])

    def predict_block(self, block: pa.Table) -> pa.Table:
        """A block of the pipeline: `PIXELS` give way to the task's columns, null in rows that have an error.

        Rows that come with an error keep it; a row without a valid result gets the error ``predict/not_finite``.
        """
        started = time.perf_counter()
        has_pixels = block[STAGE].is_null().to_numpy(zero_copy_only=False)
        columns, valid = self._predict_rows(block[PIXELS], has_pixels)
        predicted = _mark_not_finite(block.drop_columns([PIXELS]), has_pixels & ~valid)
        for field, column in zip(self.fields, columns, strict=True):
            predicted = predicted.append_column(field, column)
        seconds = has_pixels * ((time.perf_counter() - started) / max(1, int(has_pixels.sum())))
        return predicted.append_column(PREDICT_S, pa.array(seconds, pa.float32()))

    def _predict_rows(self, pixels: pa.ChunkedArray, has_pixels: np.ndarray) -> tuple[list[pa.Array], np.ndarray]:
        """The task's columns for every row, null where not valid, and the mask of the valid rows."""
        if not has_pixels.any():
            return [pa.nulls(len(has_pixels), field.type) for field in self.fields], has_pixels
        pixels_nhwc = unpack_pixels(pixels, *self.model.preprocess.size)
        tensors = self.engine(pixels_nhwc if has_pixels.all() else pixels_nhwc[has_pixels])
        columns, is_finite = self.task.columns(tensors, self.labels)
        valid = has_pixels.copy()
        valid[has_pixels] = is_finite
        return [_spread(column, has_pixels, valid) for column in columns], valid

    def _predict(self, images: Sequence[Image]) -> pa.Table:
        storage = Storage(self.model.storage_options)
        paths = [str(image) if isinstance(image, str | Path) else None for image in images]
        loaded = [
            read_image(str(image), storage=storage, max_bytes=self.limits.max_bytes)
            if isinstance(image, str | Path)
            else image
            for image in images
        ]
        columns = pixel_columns(loaded, self.limits, self.model.preprocess)
        block = self.predict_block(pa.table({URI: pa.array(paths, pa.string()), **columns}))
        errors = {STAGE: "stage", ERROR: "error", MESSAGE: "message"}
        named = block.drop_columns([DECODE_S, PREDICT_S]).rename_columns(errors)
        return named.select([URI, *(field.name for field in self.fields), *errors.values()])


def _mark_not_finite(block: pa.Table, invalid: np.ndarray) -> pa.Table:
    """``block`` with the error ``predict/not_finite`` in the rows of the mask ``invalid``."""
    if not invalid.any():
        return block
    error = ImageError("predict", "not_finite", "the model gave a value that is not a finite number")
    for name, text in ((STAGE, error.stage), (ERROR, error.kind), (MESSAGE, error.message)):
        kept = block[name].to_pylist()
        column = pa.array([text if bad else old for bad, old in zip(invalid, kept, strict=True)], pa.string())
        block = block.set_column(block.column_names.index(name), name, column)
    return block


def _spread(column: pa.Array, has_pixels: np.ndarray, valid: np.ndarray) -> pa.Array:
    """The values of the rows that have pixels, set out over all rows; null where a row is not valid."""
    if valid.all():
        return column
    indices = pa.array(np.cumsum(has_pixels) - 1, mask=~valid)
    if isinstance(column, pa.ExtensionArray):
        return pa.ExtensionArray.from_storage(column.type, column.storage.take(indices))
    return column.take(indices)
