"""Stages in this process, on the inventory of a real run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from finished import add_photos, job_over, opened

from actors.columns import PIXELS, READ_BYTES, READ_S, ROW, SHARD, STAGE
from actors.decoding.config import Decode
from actors.preprocess import Preprocess
from actors.reading.reader import ReadPlan
from actors.row_ranges import Piece, row_ranges
from actors.storage.store import Storage
from actors.tracking.ledger import Ledger
from actors.trials.throughput import STAMP
from jobs.benchmarking.partial_stages import (
    FetchAlone,
    WithoutModel,
    WithoutPixels,
    blank_blocks,
    block_sizes,
    stamping,
)
from jobs.dataflow.predict_actor import piece_block

PREPROCESS = Preprocess(resize=[24, 24], crop=None)
PIECE = Piece(0, ((0, 5), (6, 8)))


@pytest.fixture
def read(tmp_path: Path) -> ReadPlan:
    add_photos(tmp_path / "images", range(9))
    run = opened(job_over(tmp_path / "images", tmp_path / "out"), shard_size=9)
    return ReadPlan(run.shards, Storage(), Decode(), PREPROCESS, 4)


def blocks_of(stage: type, read: ReadPlan, ledger: Ledger) -> list[pa.Table]:
    return list(stage(None, read, ledger)(piece_block(PIECE)))


@pytest.mark.parametrize("stage", [FetchAlone, WithoutModel])
def test_each_row_comes_once_and_without_pixels(stage: type, read: ReadPlan) -> None:
    ledger = Ledger()
    blocks = blocks_of(stage, read, ledger)
    assert [len(block) for block in blocks] == [4, 3]
    assert row_ranges(pa.concat_tables(blocks)) == {0: [(0, 5), (6, 8)]}
    assert not [block for block in blocks if PIXELS in block.column_names]
    assert ledger.snapshot().num_signs > 0  # the watchdog sees a sign of life
    ledger.drain()
    assert blocks_of(stage, read, ledger) == []


def test_bytes_are_counted_and_images_decoded(read: ReadPlan) -> None:
    [fetched, _] = blocks_of(FetchAlone, read, Ledger())
    rows = read.shards.load(0)
    sizes = [Path(uri).stat().st_size for uri in rows["uri"].to_pylist()]
    assert fetched[READ_BYTES].to_pylist() == sizes[:4]
    [decoded, _] = blocks_of(WithoutModel, read, Ledger())
    assert decoded[STAGE].null_count == 4
    assert READ_S in decoded.column_names


def test_ready_pixels_are_as_large_as_decoded_ones(read: ReadPlan) -> None:
    blocks = list(blank_blocks(read, PIECE, Ledger()))
    assert [len(block) for block in blocks] == [4, 3]
    assert row_ranges(pa.concat_tables(blocks)) == {0: [(0, 5), (6, 8)]}
    assert blocks[0][PIXELS].type == pa.binary(24 * 24 * 3)
    assert WithoutPixels(None, 4, None)(blocks[0]).column_names == [SHARD, ROW]


@pytest.mark.parametrize(("stage", "argument"), [(WithoutModel, 0), (WithoutPixels, 1)])
def test_blocks_are_stamped_whether_a_stage_yields_or_returns_them(stage: type, argument: int, read: ReadPlan) -> None:
    ledger = Ledger()
    rows = [piece_block(PIECE), next(iter(blank_blocks(read, PIECE, ledger)))][argument]
    bare = stage(None, read, ledger)(rows)
    expected = [bare] if isinstance(bare, pa.Table) else list(bare)
    blocks = list(stamping(stage)(None, read, ledger)(rows))
    assert [block.column_names for block in blocks] == [[*block.column_names, *STAMP] for block in expected]
    assert [block[ROW] for block in blocks] == [block[ROW] for block in expected]


def test_blocks_of_a_piece() -> None:
    assert [block_sizes(PIECE, size) for size in (1, 4, 7, 8)] == [[1] * 7, [4, 3], [7], [7]]
