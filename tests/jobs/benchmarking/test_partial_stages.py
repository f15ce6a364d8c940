"""Replacement actors in this process, on the inventory of a real run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from finished import add_photos, job_over, opened

from actors.columns import PIXELS, READ_S, ROW, SHARD, STAGE
from actors.decoding.config import Decode
from actors.preprocess import Preprocess
from actors.reading.reader import ReadPlan
from actors.row_ranges import Piece, row_ranges
from actors.storage.store import Storage
from actors.tracking.ledger import Ledger
from actors.trials.throughput import STAMP
from jobs.benchmarking.meter import IMAGE_BYTES
from jobs.benchmarking.partial_stages import FetchAlone, PixelsDropped, WithoutModel, blank_blocks, block_sizes
from jobs.dataflow.predict_actor import piece_block

PREPROCESS = Preprocess(resize=[24, 24], crop=None)
PIECE = Piece(0, ((0, 5), (6, 8)))


@pytest.fixture
def read(tmp_path: Path) -> ReadPlan:
    add_photos(tmp_path / "images", range(9))
    run = opened(job_over(tmp_path / "images", tmp_path / "out"), shard_size=9)
    return ReadPlan(run.shards, Storage(), Decode(), PREPROCESS, 4)


def blocks_of(stand_in: type, read: ReadPlan, ledger: Ledger) -> list[pa.Table]:
    return list(stand_in(None, read, ledger)(piece_block(PIECE)))


@pytest.mark.parametrize("stand_in", [FetchAlone, WithoutModel])
def test_each_row_comes_once_and_without_pixels(stand_in: type, read: ReadPlan) -> None:
    ledger = Ledger()
    blocks = blocks_of(stand_in, read, ledger)
    assert [len(block) for block in blocks] == [4, 3]
    assert row_ranges(pa.concat_tables(blocks)) == {0: [(0, 5), (6, 8)]}
    for block in blocks:
        assert set(STAMP) <= set(block.column_names)
        assert PIXELS not in block.column_names
    assert ledger.snapshot().num_signs > 0  # the watchdog sees a sign of life
    ledger.drain()
    assert blocks_of(stand_in, read, ledger) == []


def test_bytes_are_counted_and_images_decoded(read: ReadPlan) -> None:
    [fetched, _] = blocks_of(FetchAlone, read, Ledger())
    rows = read.shards.load(0)
    sizes = [Path(uri).stat().st_size for uri in rows["uri"].to_pylist()]
    assert fetched[IMAGE_BYTES].to_pylist() == sizes[:4]
    [decoded, _] = blocks_of(WithoutModel, read, Ledger())
    assert decoded[STAGE].null_count == 4
    assert READ_S in decoded.column_names


def test_ready_pixels_are_as_large_as_decoded_ones(read: ReadPlan) -> None:
    blocks = list(blank_blocks(read, PIECE))
    assert [len(block) for block in blocks] == [4, 3]
    assert row_ranges(pa.concat_tables(blocks)) == {0: [(0, 5), (6, 8)]}
    assert blocks[0][PIXELS].type == pa.binary(24 * 24 * 3)
    dropped = PixelsDropped(None, 4, None)(blocks[0])
    assert dropped.column_names == [SHARD, ROW, *STAMP]


def test_blocks_of_a_piece() -> None:
    assert [block_sizes(PIECE, size) for size in (1, 4, 7, 8)] == [[1] * 7, [4, 3], [7], [7]]
