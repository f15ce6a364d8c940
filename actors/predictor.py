"""Images in, columns out: loads the model of a recipe once, and predicts. Used by Python callers, without a cluster,
and by each predictor actor of a job.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.columns import DECODE_S, ERROR, HEIGHT, MESSAGE, PIXELS, PREDICT_S, STAGE, URI, WIDTH, unpack_pixels
from actors.decoding.pixel_blocks import error_columns, pixel_columns
from actors.engines.base import load_engine
from actors.errors import ImageError, JobError
from actors.predicting.adaptive_batches import ElasticBatches
from actors.predicting.batch_progress import with_progress
from actors.predicting.box_steps import for_suppressed
from actors.predicting.golden_check import bundle_of, check_golden
from actors.predicting.independence import independent, mixing
from actors.predicting.probes import noise, probe
from actors.predicting.reference_check import ReferenceCheck
from actors.predicting.tiled_pictures import TiledPictures, unwatched
from actors.reading.given_images import batches_of, number_of, read_all
from actors.recipe import Recipe
from actors.storage.store import Storage
from actors.tasks.context import BatchContext
from actors.tasks.detect import Detect
from actors.tasks.detection.rows import detections_column, size_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from torch import nn

    from actors.decoding.config import Decode
    from actors.engines.configs import EngineConfig
    from actors.models.spec import Model
    from actors.pixel_arrays import Pixels
    from actors.predicting.tiled_pictures import Watch
    from actors.reading.given_images import Image
    from actors.tasks.base import Task


class Predictor:
    """Runs a model, which is loaded on construction.

    Args:
        recipe: the recipe, or a model, from which a recipe is made with the keywords below; `Recipe` documents their
            defaults. On the first images of `predict`, an engine other than the reference is compared with it, as its
            ``gate`` says.
        engine: the engine, if ``recipe`` is a model.
        task: the task, if ``recipe`` is a model.
        limits: the decoding limits, if ``recipe`` is a model.
        batch_size: fixed size of the engine's batches, padded with blank images: the answer for an image is then
            bit-identical whatever its batch. By default the engine gets batches as they come.
        network: the result of `actors.models.network.build_network` for the model, if already built.

    Raises:
        JobError: the recipe cannot work; the message names the key and the fix.
        TypeError: keywords are given along with a recipe.
    """

    def __init__(
        self,
        recipe: Recipe | Model,
        *,
        engine: EngineConfig | None = None,
        task: Task | None = None,
        limits: Decode | None = None,
        batch_size: int | None = None,
        network: nn.Module | None = None,
    ) -> None:
        self.recipe = recipe = _recipe(recipe, engine, task, limits)
        self.model, self.task, self.limits = recipe.model, recipe.task, recipe.limits
        self.model.preprocess.check()
        self.limits.check()
        if batch_size is not None:
            _check_batch_size(batch_size)
        self.labels = self.task.class_names(self.model)
        if found := bundle_of(self.model):
            self.task = for_suppressed(self.task, *found, self.labels)
        self.task.prepare(self.model)
        loaded = load_engine(recipe.engine, self.model, network, recipe.int8_graph)
        size = self.model.preprocess.size
        noisy = loaded(noise(size))
        reason = recipe.one_by_one
        if reason is None:
            reason = mixing(loaded, noisy, size, where=self.model.where)
        self.engine = independent(loaded, reason)
        check_golden(self.engine, recipe.engine, self.model)
        self.outputs = probe(self.engine, noisy, self.model, self.task, self.labels)
        self.fields = self.task.fields(self.outputs, self.labels)
        self._batches = ElasticBatches(
            self.engine, batch_size, expected=self.outputs.select(self.task.output_names(self.outputs))
        )
        self._check: ReferenceCheck | None = None
        self._tiled: TiledPictures | None = None
        if isinstance(self.task, Detect) and self.task.tiling:
            self._tiled = TiledPictures(self._batches, self.task, self.labels, self.model.preprocess, self.limits)
        self.batch_size = batch_size

    def predict(self, images: Iterable[Image], *, batch_size: int = 32, progress: bool = False) -> pa.Table:
        """Returns one row per image, in order: ``uri`` (null unless a path was given), the task's columns, and
        ``stage``, ``error`` and ``message``, which are null unless the image failed.

        Args:
            images: any iterable, such as a list, a generator, the files of a folder, or a PyTorch dataset; consumed a
                batch at a time. An image is a path or URI, encoded bytes, a uint8 RGB array of shape (height, width,
                3), a Pillow image, or a tuple that begins with one of these.
            batch_size: number of images, or of their tiles, that the engine gets at a time.
            progress: show count and rate on standard error.

        Raises:
            JobError: on the first images, the engine's answers differ from the reference's.
            TypeError: an item is not an image.
        """
        tables = self.predict_batches(images, batch_size=batch_size)
        if progress:
            tables = with_progress(tables, number_of(images))
        return pa.concat_tables(list(tables) or [self._predict([], batch_size)])

    def predict_batches(self, images: Iterable[Image], *, batch_size: int = 32) -> Iterator[pa.Table]:
        """Yields the rows of `predict` a batch at a time, for when all rows would not fit into memory."""
        _check_batch_size(batch_size)
        return (self._predict(batch, batch_size) for batch in batches_of(images, batch_size))

    def predict_block(self, block: pa.Table, pixels_nhwc: Pixels | None = None) -> pa.Table:
        """Predicts a block of the pipeline: replaces `PIXELS` with the task's columns, null in rows with an error.

        Rows that arrive with an error keep it. A row without a valid result gets the error ``predict/not_finite``; a
        row on which the engine fails gets ``predict/out_of_memory`` or ``predict/failed``.

        Args:
            block: the rows.
            pixels_nhwc: the pixels of all rows, if ``block`` does not hold them in `PIXELS`.

        Raises:
            DeviceLostError: this process can no longer predict.
            JobError: the model does not fit into the memory of the device.
            Exception: the engine's own, if it failed on all of the first images.
        """
        if self._tiled is not None:
            raise ValueError("the task cuts tiles from whole pictures: call predict_pictures")
        started = time.perf_counter()
        has_pixels = block[STAGE].is_null().to_numpy(zero_copy_only=False)
        if pixels_nhwc is None:
            # Chunk by chunk: the device would be idle while chunks are concatenated.
            chunks = [pa.chunked_array([chunk]) for chunk in block[PIXELS].chunks]
            arrays: list[Pixels] = [unpack_pixels(chunk, *self.model.preprocess.size) for chunk in chunks]
            block = block.drop_columns([PIXELS])
        else:
            arrays = [pixels_nhwc]
        columns, errors = self._predict_rows(block, arrays, np.flatnonzero(has_pixels))
        predicted = mark_errors(block.drop_columns([HEIGHT, WIDTH]), errors)
        for field, column in zip(self.fields, columns, strict=True):
            predicted = predicted.append_column(field, column)
        seconds = has_pixels * ((time.perf_counter() - started) / max(1, int(has_pixels.sum())))
        return predicted.append_column(PREDICT_S, pa.array(seconds, pa.float32()))

    def predict_pictures(
        self,
        block: pa.Table,
        images: Sequence[bytes | np.ndarray | ImageError],
        *,
        batch_size: int | None = None,
        watch: Watch = unwatched,
        inspect: Callable[[np.ndarray], None] | None = None,
    ) -> pa.Table:
        """Predicts like `predict_block`, but also decodes the images and cuts them into tiles as ``task.tile`` says.

        Args:
            block: rows without pixels.
            images: one for each row; those of rows with an error are ignored.
            batch_size: tiles in a batch, if the predictor has no fixed size.
            watch: wraps each long step.
            inspect: called with the tiles before each call of the engine.
        """
        if self._tiled is None:
            raise ValueError("the task cuts no tiles")
        rows = np.flatnonzero(block[STAGE].is_null().to_numpy(zero_copy_only=False))
        given = [image for row in rows.tolist() if not isinstance(image := images[row], ImageError)]
        size = self.batch_size or batch_size or 1
        result = self._tiled(given, batch_size=size, watch=watch, inspect=inspect)
        predicted = mark_errors(block, {int(rows[number]): error for number, error in result.errors.items()})
        places = np.full(len(block), -1)
        places[rows[result.found.valid]] = np.flatnonzero(result.found.valid)
        columns = [*size_columns(result.sizes_hw), detections_column(result.found, self.labels)]
        for field, column in zip(self.fields, columns, strict=True):
            predicted = predicted.append_column(field, _spread(column, places))
        for name, values in ((DECODE_S, result.decode_s), (PREDICT_S, result.predict_s)):
            seconds = np.zeros(len(block), np.float32)
            seconds[rows] = values
            predicted = predicted.append_column(name, pa.array(seconds))
        return predicted

    def _predict_rows(
        self, block: pa.Table, arrays: Sequence[Pixels], rows: np.ndarray
    ) -> tuple[list[pa.Array], dict[int, ImageError]]:
        """Returns the task's columns for every row, null unless it is in ``rows`` and valid, and the errors of the
        rest.
        """
        tensors, errors = self._batches(arrays, rows)
        if not tensors:
            return [pa.nulls(len(block), field.type) for field in self.fields], errors
        predicted = np.setdiff1d(rows, list(errors), assume_unique=True)
        sizes_hw = np.stack([block[name].to_numpy()[predicted] for name in (HEIGHT, WIDTH)], axis=1)
        context = BatchContext(self.labels, self.model.preprocess, sizes_hw)
        columns, is_finite = self.task.columns(tensors, context)
        errors |= dict.fromkeys(predicted[~is_finite].tolist(), _NOT_FINITE)
        places = np.full(len(block), -1)
        places[predicted[is_finite]] = np.flatnonzero(is_finite)
        return [_spread(column, places) for column in columns], errors

    def _predict(self, images: Sequence[Image], batch_size: int) -> pa.Table:
        storage = Storage(self.model.storage_options)
        paths, loaded = read_all(images, storage, max_bytes=self.limits.max_bytes)
        uris = {URI: pa.array(paths, pa.string())}
        if self._tiled is None:
            columns = pixel_columns(loaded, self.limits, self.model.preprocess)
            self._compare_with_reference(_sound_pixels(columns, self.model.preprocess.size))
            block = self.predict_block(pa.table({**uris, **columns}))
        else:
            errors = [image if isinstance(image, ImageError) else None for image in loaded]
            block = self.predict_pictures(
                pa.table({**uris, **error_columns(errors)}),
                loaded,
                batch_size=batch_size,
                inspect=self._compare_with_reference,
            )
        names = {STAGE: "stage", ERROR: "error", MESSAGE: "message"}
        named = block.drop_columns([DECODE_S, PREDICT_S]).rename_columns(names)
        return named.select([URI, *(field.name for field in self.fields), *names.values()])

    def _compare_with_reference(self, pixels_nhwc: np.ndarray) -> None:
        """Compares engines, for `predict` only: a job has done so before its workers start."""
        if self._check is None:
            self._check = ReferenceCheck(self.recipe.engine, self.model, self.task)
        self._check(self.engine, pixels_nhwc)


def _sound_pixels(columns: Mapping[str, pa.Array], size: tuple[int, int]) -> np.ndarray:
    """Returns the pixels of the images without an error, from the columns of `pixel_columns`."""
    is_sound = columns[STAGE].is_null().to_numpy(zero_copy_only=False)
    sound: np.ndarray = unpack_pixels(pa.chunked_array([columns[PIXELS]]), *size)[is_sound]
    return sound


def _recipe(given: Recipe | Model, engine: EngineConfig | None, task: Task | None, limits: Decode | None) -> Recipe:
    if not isinstance(given, Recipe):
        return Recipe(given, engine, task, limits)
    if engine or task or limits:
        raise TypeError("a Recipe has its own engine, task and limits: change them with dataclasses.replace")
    return given


def _check_batch_size(batch_size: int) -> None:
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise JobError(f"batch_size={batch_size!r}: not a whole number above 0", fix="the usual value is 32")


_NOT_FINITE = ImageError("predict", "not_finite", "the model gave a value that is not a finite number")


def mark_errors(block: pa.Table, errors: Mapping[int, ImageError]) -> pa.Table:
    """Returns ``block`` with ``errors``, keyed by row number, in place of what these rows had."""
    if not errors:
        return block
    for name, key in ((STAGE, "stage"), (ERROR, "kind"), (MESSAGE, "message")):
        texts = block[name].to_pylist()
        for row, error in errors.items():
            texts[row] = getattr(error, key)
        block = block.set_column(block.column_names.index(name), name, pa.array(texts, pa.string()))
    return block


def _spread(column: pa.Array, places: np.ndarray) -> pa.Array:
    """Returns the values of ``column`` at ``places``, null where the place is -1."""
    if len(column) == len(places) and places.min() >= 0:
        return column
    indices = pa.array(places, mask=places < 0)
    if isinstance(column, pa.ExtensionArray):
        return pa.ExtensionArray.from_storage(column.type, column.storage.take(indices))
    return column.take(indices)
