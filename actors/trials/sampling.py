"""Samples images from all over a dataset before a run, and measures what they cost. Runs on a worker."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import DECODE_S, PIXELS, ROW, SHARD, STAGE, URI, unpack_pixels
from actors.decoding.batch_decoder import load_decoder
from actors.decoding.pixel_blocks import locating_mismatches, pixel_columns
from actors.reading.fetcher import Fetcher
from actors.row_ranges import Piece, row_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.reading.reader import ReadPlan


@dataclass(frozen=True)
class Costs:
    """Mean seconds that a worker spends on an image before the model."""

    read_s: float
    """Waiting for its bytes, while others are in flight."""
    decode_s: float


@dataclass(frozen=True)
class Sample:
    """Decodable images, shuffled."""

    pixels_nhwc: np.ndarray
    """uint8 (n, height, width, 3); n may be 0."""
    uris: list[str]
    """URI of each image."""
    costs: Costs | None
    """None where no image could be read."""


def take_sample(plan: ReadPlan, pieces: Sequence[Piece]) -> Sample:
    """Reads and decodes the images at ``pieces``, on the device of ``plan.limits``.

    Raises:
        JobError: the GPU, or a library that it needs to decode, is missing.
        DecoderMismatchError: the GPU gives wrong pixels.
    """
    found = [np.zeros((0, *plan.preprocess.size, 3), np.uint8)]
    uris: list[str] = []
    num_read = 0
    decoder = load_decoder(plan.limits, plan.preprocess)
    read_s = decode_s = 0.0
    fetcher = Fetcher(plan.shards, plan.storage, max_bytes=plan.limits.max_bytes, concurrency=plan.concurrency)
    for piece in pieces:
        rows = plan.shards.load_piece(piece)
        since = time.perf_counter()
        for batch, images in fetcher.batches(rows, plan.batch_size):
            read_s += time.perf_counter() - since
            with locating_mismatches(batch):
                columns = pixel_columns(images, plan.limits, plan.preprocess, decoder)
            is_whole = pc.is_null(columns[STAGE])
            whole = columns[PIXELS].filter(is_whole)
            uris += batch[URI].filter(is_whole).to_pylist()
            found.append(unpack_pixels(pa.chunked_array([whole]), *plan.preprocess.size))
            num_read += sum(isinstance(image, bytes) for image in images)
            decode_s += pc.sum(columns[DECODE_S]).as_py()
            since = time.perf_counter()
    # Shuffled, since neighbours in a dataset resemble each other; with a fixed seed, so that devices can be compared.
    order = np.random.default_rng(0).permutation(len(uris))
    costs = Costs(read_s / num_read, decode_s / num_read) if num_read else None
    return Sample(np.concatenate(found)[order], [uris[place] for place in order], costs)


def spread(sizes: np.ndarray, count: int) -> list[Piece]:
    """About ``count`` rows in short runs, spread evenly over an inventory with shards of ``sizes`` rows."""
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    num_rows = int(starts[-1])
    num_runs = -(-min(count, num_rows) // _RUN_LENGTH)
    firsts = (np.arange(num_runs) * num_rows) // max(1, num_runs)
    places = np.unique((firsts[:, None] + np.arange(_RUN_LENGTH)).ravel())
    places = places[places < num_rows]
    shards = np.searchsorted(starts, places, side="right") - 1
    ranges = row_ranges(pa.table({SHARD: shards, ROW: places - starts[shards]}))
    return [Piece(shard, tuple(runs)) for shard, runs in ranges.items()]


_RUN_LENGTH = 8  # consecutive images; each run opens a shard
