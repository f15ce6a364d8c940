"""Stages of a job for `jobs.benchmarking.variants`: stamped, or with a part omitted. Run in Ray Data's actors and read
tasks. Each class notes why the seconds in the rows of the whole job do not suffice, with figures for 1,000 photographs
(ResNet-18, two workers on two CPUs).
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.columns import PIXELS, READ_BYTES, ROW, SHARD, pack_pixels
from actors.decoding.batch_decoder import load_decoder
from actors.reading.fetcher import Fetcher
from actors.reading.reader import read_blocks
from actors.tracking.attempts import READ, Work, attempt
from actors.trials.throughput import stamped
from jobs.dataflow.predict_actor import FusedActor, piece_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.reading.reader import ReadPlan
    from actors.recipe import Recipe
    from actors.row_ranges import Piece
    from actors.tracking.attempts import SharedLedger
    from jobs.dataflow.ledger_actor import RemoteLedger
    from jobs.dataflow.pipeline import Stage


def stamping(stage: Callable[..., Stage]) -> type[Stage]:
    """Returns a stage that works like ``stage`` and stamps each outgoing block in the process where it runs."""

    class Stamping:
        def __init__(self, *arguments: Any) -> None:
            self._stage = stage(*arguments)

        def __call__(self, rows: pa.Table, /) -> Iterator[pa.Table]:
            blocks = self._stage(rows)
            yield from map(stamped, [blocks] if isinstance(blocks, pa.Table) else blocks)

    return Stamping


class FetchAlone:
    """Reads the bytes of images and yields only their sizes, as `READ_BYTES`; 0 for an image with an error."""

    # Images are read ahead, so `READ_S` has only the time that a worker waits for them: it yields 34,000 images/s,
    # whereas reading alone reaches 1,100 to 1,600.
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
                    yield batch.select([SHARD, ROW]).append_column(READ_BYTES, pa.array(sizes, pa.int64()))


class WithoutModel:
    """Reads and decodes images, and drops the pixels."""

    # Time between blocks, such as for ledger calls, is in no column: `READ_S` and `DECODE_S` yield 2,500 images/s, but
    # 1,000 leave the actors.
    def __init__(self, recipe: Recipe, read: ReadPlan, ledger: RemoteLedger) -> None:  # noqa: ARG002
        self._read = read
        self._ledger = ledger
        self._decoder = load_decoder(read.limits, read.preprocess)

    def __call__(self, pieces: pa.Table) -> Iterator[pa.Table]:
        with closing(read_blocks(self._read, piece_of(pieces), self._ledger, self._decoder)) as blocks:
            for block in blocks:
                yield block.rows


class WithoutPixels:
    """Receives pixels like a `PredictActor`, and drops them."""

    def __init__(self, recipe: Recipe, batch_size: int, ledger: RemoteLedger) -> None:
        pass

    def __call__(self, block: pa.Table) -> pa.Table:
        return block.drop_columns([PIXELS])


class RowsAlone:
    """Predicts one piece, and yields its rows instead of those of every block."""

    # No column has the transfer time of a block from an actor to a writer, 1,800 to 5,000 images/s.
    def __init__(self, recipe: Recipe, read: ReadPlan, ledger: RemoteLedger) -> None:
        self._block_rows = read.block_rows
        self._actor = FusedActor(recipe, read, ledger)
        self._rows = pa.table({})

    def __call__(self, pieces: pa.Table) -> Iterator[pa.Table]:
        sizes = block_sizes(piece_of(pieces), self._block_rows)
        if len(self._rows) < sizes[0]:  # all earlier pieces were smaller
            self._rows = pa.concat_tables([*self._actor(pieces)] or [self._rows]).combine_chunks()
        if len(self._rows):  # none once the ledger drains
            yield from (self._rows.slice(0, size) for size in sizes)


def block_sizes(piece: Piece, block_rows: int) -> list[int]:
    """Returns the number of rows of each block of ``piece``."""
    return [min(block_rows, piece.num_rows - first) for first in range(0, piece.num_rows, block_rows)]


def blank_blocks(plan: ReadPlan, piece: Piece, ledger: SharedLedger) -> Iterator[pa.Table]:  # noqa: ARG001
    """Yields blocks of grey pixels with the size of those of a `ShardSource`, without reading or decoding."""
    rows = [row for start, stop in piece.ranges for row in range(start, stop)]
    pixels = np.full((plan.batch_size, *plan.preprocess.size, 3), _GREY, np.uint8)
    for first in range(0, len(rows), plan.batch_size):
        batch = pa.array(rows[first : first + plan.batch_size], pa.int32())
        shard = pa.array([piece.shard] * len(batch), pa.int32())
        yield pa.table({SHARD: shard, ROW: batch, PIXELS: pack_pixels(pixels[: len(batch)])})


_GREY = 128  # not 0: the system would not allocate memory for pages of zeros
