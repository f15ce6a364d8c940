"""Replacements for the actors of a job, each with some stages switched off, and a source of blank pixels. They stamp
each finished block. Run in Ray Data's actors and read tasks.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from actors.columns import PIXELS, ROW, SHARD, pack_pixels
from actors.decoding.batch_decoder import load_decoder
from actors.reading.fetcher import Fetcher
from actors.reading.reader import read_piece
from actors.tracking.attempts import READ, Work, attempt
from actors.trials.throughput import stamped
from jobs.benchmarking.meter import IMAGE_BYTES
from jobs.dataflow.predict_actor import FusedActor, PredictActor, piece_of
from jobs.dataflow.source import ShardSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.reading.reader import ReadPlan
    from actors.recipe import Recipe
    from actors.row_ranges import Piece
    from jobs.dataflow.ledger_actor import RemoteLedger


class AllFused:
    """`FusedActor` that stamps its blocks."""

    def __init__(self, recipe: Recipe, read: ReadPlan, ledger: RemoteLedger) -> None:
        self._actor = FusedActor(recipe, read, ledger)

    def __call__(self, pieces: pa.Table) -> Iterator[pa.Table]:
        yield from map(stamped, self._actor(pieces))


class AllApart:
    """`PredictActor` that stamps its blocks."""

    def __init__(self, recipe: Recipe, batch_size: int, ledger: RemoteLedger) -> None:
        self._actor = PredictActor(recipe, batch_size, ledger)

    def __call__(self, block: pa.Table) -> pa.Table:
        return stamped(self._actor(block))


class FetchAlone:
    """Reads the bytes of images and yields only their sizes, as column `IMAGE_BYTES`; 0 for an image with an error."""

    def __init__(self, recipe: Recipe, read: ReadPlan, ledger: RemoteLedger) -> None:  # noqa: ARG002
        self._read = read
        self._ledger = ledger
        self._fetcher = Fetcher(
            read.shards, read.storage, max_bytes=read.limits.max_bytes, concurrency=read.concurrency
        )

    def __call__(self, pieces: pa.Table) -> Iterator[pa.Table]:
        piece = piece_of(pieces)
        with attempt(self._ledger, Work(READ, (piece,))) as current:
            if current.instructions.stop:
                return
            rows = self._read.shards.load_piece(piece)
            with closing(self._fetcher.batches(rows, self._read.block_rows)) as batches:
                for batch, images in batches:
                    sizes = [len(image) if isinstance(image, bytes) else 0 for image in images]
                    yield stamped(batch.select([SHARD, ROW]).append_column(IMAGE_BYTES, pa.array(sizes, pa.int64())))


class WithoutModel:
    """Reads and decodes images, and drops the pixels."""

    def __init__(self, recipe: Recipe, read: ReadPlan, ledger: RemoteLedger) -> None:  # noqa: ARG002
        self._read = read
        self._ledger = ledger
        self._decoder = load_decoder(read.limits, read.preprocess)

    def __call__(self, pieces: pa.Table) -> Iterator[pa.Table]:
        with closing(read_piece(self._read, piece_of(pieces), self._ledger, self._decoder)) as blocks:
            for block in blocks:
                yield stamped(block.drop_columns([PIXELS]))


class PixelsDropped:
    """Receives pixels like a `PredictActor`, and drops them."""

    def __init__(self, recipe: Recipe, batch_size: int, ledger: RemoteLedger) -> None:
        pass

    def __call__(self, block: pa.Table) -> pa.Table:
        return stamped(block.drop_columns([PIXELS]))


class ModelAlone:
    """Predicts one block of pixels repeatedly, sliced to the size of each block of its input."""

    def __init__(self, recipe: Recipe, read: ReadPlan, ledger: RemoteLedger) -> None:
        self._read = read
        self._ledger = ledger
        self._actor = PredictActor(recipe, read.batch_size, ledger)
        self._block: pa.Table | None = None
        self._block_size = 0

    def __call__(self, pieces: pa.Table) -> Iterator[pa.Table]:
        piece = piece_of(pieces)
        sizes = block_sizes(piece, self._read.block_rows)
        if self._block_size < sizes[0]:  # all earlier pieces were smaller
            with closing(read_piece(self._read, piece, self._ledger)) as blocks:
                self._block, self._block_size = next(blocks, None), sizes[0]
        if self._block is not None:
            for size in sizes:
                yield stamped(self._predicted(self._block.slice(0, size)))

    def _predicted(self, block: pa.Table) -> pa.Table:
        return self._actor(block)


class RowsAlone(ModelAlone):
    """Predicts one block, and yields its rows repeatedly."""

    _rows: pa.Table | None = None

    def _predicted(self, block: pa.Table) -> pa.Table:
        if self._rows is None or len(self._rows) < len(block):
            self._rows = self._actor(block)
        return self._rows.slice(0, len(block))


def block_sizes(piece: Piece, block_rows: int) -> list[int]:
    """Returns the number of rows of each block of ``piece``."""
    return [min(block_rows, piece.num_rows - first) for first in range(0, piece.num_rows, block_rows)]


class BlankSource(ShardSource):
    """Blocks of pixels as large as those of a `ShardSource`, without reading or decoding."""

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002
        per_task_row_limit: int | None = None,
        data_context: object = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [
            ReadTask(partial(blank_blocks, self._plan, piece), unknown, per_task_row_limit=per_task_row_limit)
            for piece in self._missing
        ]


def blank_blocks(plan: ReadPlan, piece: Piece) -> Iterator[pa.Table]:
    """Yields grey pixels for the rows of ``piece``, in batches."""
    rows = [row for start, stop in piece.ranges for row in range(start, stop)]
    pixels = np.full((plan.batch_size, *plan.preprocess.size, 3), _GREY, np.uint8)
    for first in range(0, len(rows), plan.batch_size):
        batch = pa.array(rows[first : first + plan.batch_size], pa.int32())
        shard = pa.array([piece.shard] * len(batch), pa.int32())
        yield pa.table({SHARD: shard, ROW: batch, PIXELS: pack_pixels(pixels[: len(batch)])})


_GREY = 128  # not 0: the system would not back pages of zeros with memory
