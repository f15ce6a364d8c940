"""Reads pieces of the inventory into blocks of decoded pixels. Runs in the read tasks of workers."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import pyarrow as pa

from actors.columns import READ_S, ROW
from actors.decoding.pixel_blocks import PixelBlock, pixel_block
from actors.fault_injection import fault
from actors.reading import encoded_blocks
from actors.reading.encoded_blocks import EncodedBlock, encoded_block
from actors.reading.fetcher import BATCH_BYTES, Fetcher
from actors.reading.ordered_requests import CONCURRENCY
from actors.tracking.attempts import READ, Row, Work, attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from actors.decoding.config import BatchDecoder, Decode
    from actors.preprocess import Preprocess
    from actors.reading.image_bytes import Image
    from actors.reading.shards import Shards
    from actors.row_ranges import Piece
    from actors.storage.store import Storage
    from actors.tasks.detection.tile import Tile
    from actors.tracking.attempts import Attempt, SharedLedger


@dataclass(frozen=True)
class ReadPlan:
    """Parameters of a read task, apart from its piece."""

    shards: Shards
    storage: Storage
    limits: Decode
    preprocess: Preprocess
    batch_size: int
    """Images per engine call."""
    batches_a_block: int = 1
    """Batches that are read, decoded and passed on as one block."""
    concurrency: int = CONCURRENCY
    """Requests in flight per task."""
    tile: Tile | None = None
    """Tiles that images are cut into; None for whole images."""

    @property
    def block_rows(self) -> int:
        return self.batch_size * self.batches_a_block

    @property
    def batch_bytes(self) -> int:
        """Encoded bytes at which a block ends early."""
        return BATCH_BYTES if self.tile is None else _TILED_BYTES


# Images to be cut are large, and if a worker dies at one, its whole block is repeated.
_TILED_BYTES = 32 << 20


def read_piece(
    plan: ReadPlan, piece: Piece, ledger: SharedLedger, decoder: BatchDecoder | None = None
) -> Generator[pa.Table]:
    """Yields the blocks of `read_blocks` as tables, with their pixels in the column `PIXELS`."""
    with closing(read_blocks(plan, piece, ledger, decoder)) as blocks:
        for block in blocks:
            yield block.packed()


def read_blocks(
    plan: ReadPlan, piece: Piece, ledger: SharedLedger, decoder: BatchDecoder | None = None
) -> Generator[PixelBlock]:
    """Yields blocks of at most ``plan.block_rows`` rows, with the columns of `pixel_block` and `READ_S`.

    Every row of ``piece`` is in exactly one block, with pixels or an error, unless the ledger stops the reading first.
    Retries yield the same blocks. For ``decoder``, see `actors.decoding.pixel_blocks.decode_batch`.
    """

    def block(rows: pa.Table, images: list[Image]) -> PixelBlock:
        return pixel_block(rows, images, plan.limits, plan.preprocess, decoder)

    with attempt(ledger, Work(READ, (piece,))) as current:
        yield from _read(plan, piece, current, _Build(block, PixelBlock.joined))


def read_encoded(plan: ReadPlan, piece: Piece, ledger: SharedLedger) -> Generator[EncodedBlock]:
    """Yields blocks like `read_blocks`, but leaves the decoding to the caller."""
    build = _Build(encoded_block, encoded_blocks.joined)
    with attempt(ledger, Work(READ, (piece,))) as current:
        yield from _read(plan, piece, current, build)


Block = TypeVar("Block", PixelBlock, EncodedBlock)


@dataclass(frozen=True)
class _Build(Generic[Block]):
    """Functions that build blocks from rows and images, and join blocks."""

    block: Callable[[pa.Table, list[Image]], Block]
    joined: Callable[[list[Block]], Block]


def _read(plan: ReadPlan, piece: Piece, current: Attempt, build: _Build[Block]) -> Iterator[Block]:
    if current.instructions.stop:
        return
    with current.limit():
        fault("read.started")
        reader = _PieceReader(plan, piece, current, build)
    yield from reader.blocks()


class _PieceReader(Generic[Block]):
    """One attempt at a piece. Prefetches batches, but reads those in which an earlier attempt died by image."""

    def __init__(self, plan: ReadPlan, piece: Piece, current: Attempt, build: _Build[Block]) -> None:
        self._plan = plan
        self._build: _Build[Block] = build
        self._attempt = current
        self._table = plan.shards.load_piece(piece)
        self._rows: list[Row] = [(piece.shard, row) for row in self._table[ROW].to_pylist()]
        self._fetcher = Fetcher(
            plan.shards,
            plan.storage,
            max_bytes=plan.limits.max_bytes,
            concurrency=plan.concurrency,
            batch_bytes=None if plan.tile is None else plan.batch_bytes,
        )
        self._careful = [number for number, row in enumerate(self._rows) if row in current.instructions.careful]
        self._ahead: Generator[tuple[pa.Table, list[Image]]] | None = None

    def blocks(self) -> Iterator[Block]:
        start, ledger, work = 0, self._attempt.ledger, self._attempt.work
        try:
            while start < len(self._rows) and not ledger.start_batch(work, self._rows[start]):
                block = self._read_carefully(start) if start in self._careful else self._read_ahead(start)
                start += len(block.rows)
                ledger.finish_batch(work, self._rows[start] if start < len(self._rows) else None)
                yield block
        finally:
            self._close_ahead()

    def _read_ahead(self, start: int) -> Block:
        """Returns the next batch while fetching the one after it, unless that must be read one image at a time."""
        stop = next((number for number in self._careful if number > start), None)
        with self._attempt.limit():
            since = time.perf_counter()
            if self._ahead is None:
                self._ahead = self._fetcher.batches(self._table[start:stop], self._plan.block_rows)
            batch, images = next(self._ahead)
            if start + len(batch) == stop:
                self._close_ahead()
            fault("read.fetched")
            return self._decode(batch, images, time.perf_counter() - since)

    def _close_ahead(self) -> None:
        """Joins the fetcher's threads. The garbage collector could deadlock with a thread that is just starting."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _read_carefully(self, start: int) -> Block:
        """Returns the same batch as `_read_ahead`, read one image at a time."""
        blocks: list[Block] = []
        num_bytes = 0
        for number in range(start, min(start + self._plan.block_rows, len(self._rows))):
            row, batch = self._rows[number], self._table.slice(number, 1)
            with self._attempt.limit():
                since = time.perf_counter()
                image = self._attempt.instructions.quarantined.get(row) or self._fetch_alone(row, batch)
                seconds = time.perf_counter() - since
                if isinstance(image, bytes):
                    self._attempt.start_image(row, "decode")
                    num_bytes += len(image)
                blocks.append(self._decode(batch, [image], seconds))
            if num_bytes >= self._plan.batch_bytes:  # `Fetcher.batches` also ends a batch here
                break
        return self._build.joined(blocks)

    def _fetch_alone(self, row: Row, batch: pa.Table) -> Image:
        self._attempt.start_image(row, "read")
        [(_, [image])] = self._fetcher.batches(batch, 1)
        fault("read.fetched")
        return image

    def _decode(self, batch: pa.Table, images: list[Image], fetch_s: float) -> Block:
        block = self._build.block(batch, images)
        fault("decode.done")
        seconds = pa.array([fetch_s / len(batch)] * len(batch), pa.float32())
        return block._replace(rows=block.rows.append_column(READ_S, seconds))
