"""The benchmark's baseline: reads, decodes and predicts batch by batch, in plain processes without a framework. Runs in
processes spawned by `jobs.benchmark`.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.decoding.batch_decoder import load_decoder
from actors.decoding.pixel_blocks import pixel_block, pixel_columns
from actors.predictor import Predictor
from actors.reading.fetcher import Fetcher
from actors.reading.ordered_requests import CONCURRENCY
from actors.trials.throughput import stamped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from actors.decoding.config import BatchDecoder
    from actors.decoding.pixel_blocks import PixelBlock
    from actors.reading.shards import Shards
    from actors.recipe import Recipe
    from actors.row_ranges import Piece
    from actors.storage.store import Storage


@dataclass(frozen=True)
class PlainLoop:
    """The same inputs as a job's workers."""

    shards: Shards
    storage: Storage
    recipe: Recipe
    batch_size: int
    predicts: bool = True
    """False stops after decoding: the limit of a decoding-bound job."""
    concurrency: int = CONCURRENCY
    """Requests in flight per process."""

    def run(self, pieces: Iterable[Piece], *, is_ready: Callable[[], object]) -> pa.Table:
        """Predicts the rows of ``pieces`` like `Predictor.predict_block`, each batch `throughput.stamped`.

        Calls ``is_ready`` once everything is loaded, before reading the first image.
        """
        decoder = load_decoder(self.recipe.limits, self.recipe.model.preprocess)
        finish = self._last_step()
        is_ready()
        return pa.concat_tables([stamped(finish(block)) for block in self._blocks(pieces, decoder)] or [pa.table({})])

    def _last_step(self) -> Callable[[PixelBlock], pa.Table]:
        """Returns the step after decoding, warmed up: engines allocate or compile on their first batch."""
        limits, preprocess = self.recipe.limits, self.recipe.model.preprocess
        if not self.predicts:
            return lambda block: block.rows
        predictor = Predictor(self.recipe, batch_size=self.batch_size)
        blank = np.zeros((1, 1, 3), np.uint8)
        predictor.predict_block(pa.table(pixel_columns([blank] * self.batch_size, limits, preprocess)))
        return lambda block: predictor.predict_block(*block)

    def _blocks(self, pieces: Iterable[Piece], decoder: BatchDecoder | None) -> Iterator[PixelBlock]:
        limits, preprocess = self.recipe.limits, self.recipe.model.preprocess
        fetcher = Fetcher(self.shards, self.storage, max_bytes=limits.max_bytes, concurrency=self.concurrency)
        for piece in pieces:
            for batch, images in fetcher.batches(self.shards.load_piece(piece), self.batch_size):
                yield pixel_block(batch, images, limits, preprocess, decoder)


def run_process(loop: PlainLoop, pieces: Sequence[Piece], part: Path, taken: Synchronized[int], start: Barrier) -> None:
    """Runs ``loop`` in one of several processes and writes its rows to ``part``.

    Args:
        loop: the work.
        pieces: the images of all processes.
        part: path of one Parquet file.
        taken: number of ``pieces`` taken by processes so far.
        start: holds every process until all have loaded.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all processes; the parent stops this one
    rows = loop.run(_free_ones(pieces, taken), is_ready=start.wait)
    pq.write_table(rows, part)


def _free_ones(pieces: Sequence[Piece], taken: Synchronized[int]) -> Iterator[Piece]:
    while True:
        with taken.get_lock():
            number = taken.value
            taken.value += 1
        if number >= len(pieces):
            return
        yield pieces[number]
