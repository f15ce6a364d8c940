"""Predictors in Ray Data actors: one receives pixels, the others read their images. They report each batch to the
ledger, and process images one at a time where an earlier attempt died.
"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import ray

from actors.columns import ROW, SHARD, STAGE
from actors.decoding.batch_decoder import load_decoder
from actors.engines.base import describe
from actors.fault_injection import fault
from actors.predicting.tiled_pictures import DECODE
from actors.predictor import Predictor, mark_errors
from actors.reading.reader import read_blocks, read_encoded
from actors.row_ranges import Piece, row_ranges
from actors.tracking.attempts import LOAD, PREDICT, Work, attempt
from actors.tracking.metric_counts import flow_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from actors.errors import ImageError
    from actors.pixel_arrays import Pixels
    from actors.reading.image_bytes import Image
    from actors.reading.reader import ReadPlan
    from actors.recipe import Recipe
    from actors.tracking.attempts import Attempt, Row, SharedLedger
    from jobs.dataflow.ledger_actor import RemoteLedger


class PredictActor:
    """Holds one predictor for the lifetime of an actor."""

    def __init__(self, recipe: Recipe, batch_size: int, ledger: RemoteLedger) -> None:
        self._ledger = ledger
        # Ray 2.60 reduces an exception in a constructor to the text of an ActorDiedError; a call keeps it as `.cause`.
        self._load_error: Exception | None = None
        actor_id = ray.get_runtime_context().get_actor_id()  # outlives restarts
        try:
            with attempt(ledger, Work(LOAD, f"actor {actor_id}")):
                self._load(recipe, batch_size)
                fault("predict.loaded")
            ledger.set_engine(describe(self._predictor.engine))
        except Exception as error:  # noqa: BLE001  raised by the first call
            self._load_error = error

    def _load(self, recipe: Recipe, batch_size: int) -> None:
        self._predictor = Predictor(recipe, batch_size=batch_size)

    def check_loaded(self) -> None:
        """Raises the exception that the constructor stored."""
        if self._load_error is not None:
            raise self._load_error

    def __call__(self, block: pa.Table) -> pa.Table:
        self.check_loaded()
        return predict(self._predictor, block, self._ledger)


class FusedActor(PredictActor):
    """Reads, decodes and predicts, so that images never leave the process."""

    def __init__(self, recipe: Recipe, read: ReadPlan, ledger: RemoteLedger) -> None:
        self._read = read
        super().__init__(recipe, read.batch_size, ledger)

    def _load(self, recipe: Recipe, batch_size: int) -> None:
        super()._load(recipe, batch_size)
        self._decoder = load_decoder(self._read.limits, self._read.preprocess)

    def __call__(self, pieces: pa.Table) -> Iterator[pa.Table]:
        self.check_loaded()
        with closing(read_blocks(self._read, piece_of(pieces), self._ledger, self._decoder)) as blocks:
            for rows, pixels_nhwc in blocks:
                yield predict(self._predictor, rows, self._ledger, pixels_nhwc)


class TiledActor(PredictActor):
    """Reads and decodes images, and predicts them tile by tile."""

    def __init__(self, recipe: Recipe, read: ReadPlan, ledger: RemoteLedger) -> None:
        self._read = read
        super().__init__(recipe, read.batch_size, ledger)

    def __call__(self, pieces: pa.Table) -> Iterator[pa.Table]:
        self.check_loaded()
        with closing(read_encoded(self._read, piece_of(pieces), self._ledger)) as blocks:
            for rows, images in blocks:
                yield predict(self._predictor, rows, self._ledger, images)


def piece_block(piece: Piece) -> pa.Table:
    """Returns the piece as sent to a `FusedActor` by Ray Data: a table of one row."""
    starts, stops = zip(*piece.ranges, strict=True)
    return pa.table({SHARD: [piece.shard], "starts": [starts], "stops": [stops]})


def piece_of(block: pa.Table) -> Piece:
    """Returns the piece of a `piece_block`."""
    shard, starts, stops = (block[name][0].as_py() for name in (SHARD, "starts", "stops"))
    return Piece(shard, tuple(zip(starts, stops, strict=True)))


def predict(
    predictor: Predictor, block: pa.Table, ledger: SharedLedger, images: Pixels | list[Image] | None = None
) -> pa.Table:
    """Predicts a ``block`` as one attempt. Quarantined images get their error instead.

    Args:
        predictor: predicts by `Predictor.predict_block`, or by `Predictor.predict_pictures` if ``images`` is a list.
        block: the rows.
        ledger: receives the attempt.
        images: their pixels, if ``block`` does not hold them, or the encoded images.
    """
    work = Work(PREDICT, tuple(Piece(shard, tuple(runs)) for shard, runs in row_ranges(block).items()))
    with attempt(ledger, work) as current:
        marked = mark_errors(block, _quarantined(block, current.instructions.quarantined))
        if current.instructions.careful:
            ones = [
                _predict_alone(
                    predictor,
                    marked.slice(number, 1),
                    None if images is None else images[number : number + 1],
                    current,
                )
                for number in range(len(marked))
            ]
            predicted = pa.concat_tables(ones).combine_chunks()
        else:
            predicted = _predict(predictor, marked, images, current)
        current.num_ok = predicted[STAGE].null_count
        current.num_errors = len(predicted) - current.num_ok
        current.flow = flow_of(predicted)
    return predicted


def _predict_alone(
    predictor: Predictor, one: pa.Table, images: Pixels | list[Image] | None, current: Attempt
) -> pa.Table:
    row = (one[SHARD][0].as_py(), one[ROW][0].as_py())
    if one[STAGE].null_count:  # the engine sees no rows with errors
        current.start_image(row, PREDICT)
    return _predict(predictor, one, images, current, row)


def _predict(
    predictor: Predictor,
    block: pa.Table,
    images: Pixels | list[Image] | None,
    current: Attempt,
    alone: Row | None = None,
) -> pa.Table:
    if isinstance(images, list):
        return predictor.predict_pictures(block, images, watch=_Watching(current, alone))
    with current.limit():
        fault("predict.started")
        predicted = predictor.predict_block(block, images)
        fault("predict.done")
    return predicted


class _Watching:
    """Limits the duration of each step on slow pictures, and reports to the ledger that they are in progress.

    Args:
        current: the attempt.
        alone: the only image of the block, if it is processed alone.
    """

    def __init__(self, current: Attempt, alone: Row | None) -> None:
        self._current, self._alone = current, alone
        self._told_s = time.monotonic()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        if self._alone is not None:
            self._current.start_image(self._alone, stage)
        elif time.monotonic() - self._told_s > _TELL_EVERY_S:
            self._current.show_life()
            self._told_s = time.monotonic()
        with self._current.limit():
            if stage == DECODE:
                fault("decode.started")
                yield
                fault("decode.done")
            else:
                fault("predict.started")
                yield
                fault("predict.done")


_TELL_EVERY_S = 5.0  # a ledger call takes milliseconds, as may a batch on a GPU


def _quarantined(block: pa.Table, errors: Mapping[Row, ImageError]) -> dict[int, ImageError]:
    """Returns ``errors`` by row position in ``block``."""
    rows = zip(block[SHARD].to_pylist(), block[ROW].to_pylist(), strict=True) if errors else ()
    return {place: errors[row] for place, row in enumerate(rows) if row in errors}
