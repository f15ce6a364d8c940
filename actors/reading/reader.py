"""Pieces of the inventory to blocks of decoded pixels. Runs in Ray Data's read tasks; `read_piece` needs no Ray."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.columns import READ_S, ROW
from actors.decoding.pixel_blocks import pixel_block
from actors.fault_injection import fault
from actors.preprocess import Preprocess, warm_up
from actors.reading.fetcher import BATCH_BYTES, Fetcher
from actors.tracking.attempts import READ, Row, Work, attempt

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from actors.decoding.config import BatchDecoder, Decode
    from actors.reading.fetcher import Image
    from actors.reading.shards import Shards
    from actors.row_ranges import Piece
    from actors.storage.store import Storage
    from actors.tracking.attempts import Attempt, SharedLedger


@dataclass(frozen=True)
class ReadPlan:
    """What a read task needs to know beside its piece."""

    shards: Shards
    storage: Storage
    limits: Decode
    preprocess: Preprocess
    batch_size: int
    """Images that the engine gets at a time."""
    batches_a_block: int = 1
    """Batches that are read, decoded and handed on together."""

    @property
    def block_rows(self) -> int:
        return self.batch_size * self.batches_a_block


def read_piece(
    plan: ReadPlan, piece: Piece, ledger: SharedLedger, decoder: BatchDecoder | None = None
) -> Generator[pa.Table]:
    """Blocks of at most ``plan.block_rows`` rows: those of `pixel_block`, then
    `READ_S`. Every row of ``piece`` is in exactly one block, with pixels or with an error, unless
    the ledger says that nothing more is to be read. Another attempt gives the same blocks. ``decoder`` is as in
    `actors.decoding.pixel_blocks.pixel_columns`.
    """
    with attempt(ledger, Work(READ, (piece,))) as hand:
        if hand.orders.stop:
            return
        warm_up(plan.preprocess)
        with hand.limit():
            fault("read.started")
            reader = _PieceReader(plan, piece, hand, decoder)
        yield from reader.blocks()


class _PieceReader:
    """One attempt at a piece. Batches in which an earlier attempt died are read image by image, all others ahead."""

    def __init__(self, plan: ReadPlan, piece: Piece, hand: Attempt, decoder: BatchDecoder | None) -> None:
        self._plan = plan
        self._decoder = decoder
        self._hand = hand
        self._table = plan.shards.load_piece(piece)
        self._rows: list[Row] = [(piece.shard, row) for row in self._table[ROW].to_pylist()]
        self._fetcher = Fetcher(plan.shards, plan.storage, max_bytes=plan.limits.max_bytes)
        self._careful = [number for number, row in enumerate(self._rows) if row in hand.orders.careful]
        self._ahead: Generator[tuple[pa.Table, list[Image]]] | None = None

    def blocks(self) -> Iterator[pa.Table]:
        start, ledger, work = 0, self._hand.ledger, self._hand.work
        try:
            while start < len(self._rows) and not ledger.reach(work, self._rows[start]):
                block = self._read_carefully(start) if start in self._careful else self._read_ahead(start)
                start += len(block)
                ledger.rest(work, self._rows[start] if start < len(self._rows) else None)
                yield block
        finally:
            self._close_ahead()

    def _read_ahead(self, start: int) -> pa.Table:
        """The next batch; the one after it is being fetched meanwhile, unless that is to be read carefully."""
        stop = next((number for number in self._careful if number > start), None)
        with self._hand.limit():
            since = time.perf_counter()
            if self._ahead is None:
                self._ahead = self._fetcher.batches(self._table[start:stop], self._plan.block_rows)
            batch, images = next(self._ahead)
            if start + len(batch) == stop:
                self._close_ahead()
            fault("read.fetched")
            return self._decode(batch, images, time.perf_counter() - since)

    def _close_ahead(self) -> None:
        """Ends the threads here and now. Left to the garbage collector, they would be joined wherever it happens to
        run, and where that is a thread in the middle of its start, both wait for ever.
        """
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _read_carefully(self, start: int) -> pa.Table:
        """The same batch as otherwise, image by image."""
        blocks: list[pa.Table] = []
        num_bytes = 0
        for number in range(start, min(start + self._plan.block_rows, len(self._rows))):
            row, batch = self._rows[number], self._table.slice(number, 1)
            with self._hand.limit():
                since = time.perf_counter()
                image = self._hand.orders.quarantined.get(row) or self._fetch_alone(row, batch)
                seconds = time.perf_counter() - since
                if isinstance(image, bytes):
                    self._hand.note(row, "decode")
                    num_bytes += len(image)
                blocks.append(self._decode(batch, [image], seconds))
            if num_bytes >= BATCH_BYTES:
                break
        return pa.concat_tables(blocks).combine_chunks()

    def _fetch_alone(self, row: Row, batch: pa.Table) -> Image:
        self._hand.note(row, "read")
        [(_, [image])] = self._fetcher.batches(batch, 1)
        fault("read.fetched")
        return image

    def _decode(self, batch: pa.Table, images: list[Image], fetch_s: float) -> pa.Table:
        block = pixel_block(batch, images, self._plan.limits, self._plan.preprocess, self._decoder)
        fault("decode.done")
        return block.append_column(READ_S, pa.array([fetch_s / len(batch)] * len(batch), pa.float32()))
