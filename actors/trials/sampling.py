"""Samples images from across a dataset before a run, and measures their cost. Runs on a worker."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import DECODE_S, PIXELS, ROW, SHARD, STAGE, URI, unpack_pixels
from actors.decoding.batch_decoder import load_decoder
from actors.decoding.decode import decode
from actors.decoding.pixel_blocks import locating_mismatches, pixel_columns
from actors.errors import ImageError
from actors.predicting.tiled_pictures import cut
from actors.reading.fetcher import Fetcher
from actors.row_ranges import Piece, row_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.decoding.config import BatchDecoder
    from actors.reading.image_bytes import Image
    from actors.reading.reader import ReadPlan
    from actors.tasks.detection.tile import Tile


@dataclass(frozen=True)
class Costs:
    """Mean seconds per image that a worker spends before the model."""

    read_s: float
    """Time waiting for its bytes, while other images are in flight."""
    decode_s: float
    num_inputs: float = 1.0
    """Mean number of model inputs, or tiles, per image."""


@dataclass(frozen=True)
class Sample:
    """Shuffled decodable images, or some tiles of each."""

    pixels_nhwc: np.ndarray
    """uint8 (n, height, width, 3); n may be 0."""
    uris: list[str]
    """URI of each image."""
    costs: Costs | None
    """None if no image could be read."""


def take_sample(plan: ReadPlan, pieces: Sequence[Piece]) -> Sample:
    """Reads and decodes the images at ``pieces``, on the device of ``plan.limits``.

    Raises:
        JobError: the GPU, or a library that it needs to decode, is missing.
        DecoderMismatchError: the GPU returns wrong pixels.
    """
    decoder = load_decoder(plan.limits, plan.preprocess)
    fetcher = Fetcher(plan.shards, plan.storage, max_bytes=plan.limits.max_bytes, concurrency=plan.concurrency)
    parts = [_Part(np.zeros((0, *plan.preprocess.size, 3), np.uint8), [])]
    num_read, read_s = 0, 0.0
    for piece in pieces:
        rows = plan.shards.load_piece(piece)
        since = time.perf_counter()
        for batch, images in fetcher.batches(rows, plan.batch_size):
            read_s += time.perf_counter() - since
            num_read += sum(isinstance(image, bytes) for image in images)
            if plan.tile is None:
                parts.append(_whole_images(batch, images, plan, decoder))
            else:
                uris = batch[URI].to_pylist()
                parts += [_some_tiles(uri, image, plan, plan.tile) for uri, image in zip(uris, images, strict=True)]
            since = time.perf_counter()
    uris = [uri for part in parts for uri in part.uris]
    # Shuffled, since neighbours in a dataset resemble each other; the seed is fixed so that devices can be compared.
    order = np.random.default_rng(0).permutation(len(uris))
    decode_s, num_inputs = sum(part.decode_s for part in parts), sum(part.num_inputs for part in parts)
    costs = Costs(read_s / num_read, decode_s / num_read, max(1.0, num_inputs / num_read)) if num_read else None
    pixels_nhwc = np.concatenate([part.pixels_nhwc for part in parts])
    return Sample(pixels_nhwc[order], [uris[place] for place in order], costs)


class _Part(NamedTuple):
    """Images of a sample."""

    pixels_nhwc: np.ndarray
    uris: list[str]
    decode_s: float = 0.0
    num_inputs: int = 0
    """Number of model inputs in all of these images."""


def _whole_images(batch: pa.Table, images: Sequence[Image], plan: ReadPlan, decoder: BatchDecoder | None) -> _Part:
    with locating_mismatches(batch):
        columns = pixel_columns(images, plan.limits, plan.preprocess, decoder)
    is_whole = pc.is_null(columns[STAGE])
    pixels_nhwc = unpack_pixels(pa.chunked_array([columns[PIXELS].filter(is_whole)]), *plan.preprocess.size)
    uris = batch[URI].filter(is_whole).to_pylist()
    return _Part(pixels_nhwc, uris, pc.sum(columns[DECODE_S]).as_py(), len(uris))


def _some_tiles(uri: str, image: Image, plan: ReadPlan, tile: Tile) -> _Part:
    """Returns tiles from across an image; none if it has an error."""
    none = _Part(np.zeros((0, *plan.preprocess.size, 3), np.uint8), [])
    since = time.perf_counter()
    try:
        image_hwc = decode(image, plan.limits) if isinstance(image, bytes) else None
    except ImageError:
        image_hwc = None
    if image_hwc is None:
        return none
    decode_s = time.perf_counter() - since
    places = tile.places(*image_hwc.shape[:2])
    chosen = places[np.unique(np.linspace(0, len(places) - 1, TILES_OF_AN_IMAGE).astype(int))]
    pixels_nhwc = np.stack(list(cut(image_hwc, chosen, plan.preprocess)))
    return _Part(pixels_nhwc, [uri] * len(chosen), decode_s, len(places))


TILES_OF_AN_IMAGE = 8
"""Maximum number of tiles per image in a sample."""


def spread(sizes: np.ndarray, count: int) -> list[Piece]:
    """Returns about ``count`` rows in short runs, spread evenly over an inventory with shards of ``sizes`` rows."""
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
