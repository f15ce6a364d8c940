from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from finished import add_photos, job_over, opened

from actors.columns import URI
from actors.decoding.config import Decode
from actors.reading.reader import ReadPlan
from actors.reading.shards import Shards
from actors.row_ranges import Piece, count
from actors.sample.train import PREPROCESS
from actors.storage.store import Storage
from actors.tasks.detection.tile import Tile
from actors.trials.sampling import TILES_OF_AN_IMAGE, spread, take_sample


def test_a_sample_holds_the_images_that_can_be_decoded_and_what_they_take(tmp_path: Path) -> None:
    add_photos(tmp_path / "images", range(6))
    (tmp_path / "images" / "3b.jpg").write_bytes(b"no image")
    run = opened(job_over(tmp_path / "images", tmp_path / "out"))
    read = ReadPlan(run.shards.without_sizes(), Storage(), Decode(), PREPROCESS, 2)
    every = [Piece(shard, ((0, int(size)),)) for shard, size in enumerate(run.shards.sizes)]
    sample = take_sample(read, every)
    assert sample.pixels_nhwc.shape == (6, *PREPROCESS.size, 3)
    assert sample.pixels_nhwc.dtype == np.uint8
    assert len({image.tobytes() for image in sample.pixels_nhwc}) == 6
    for uri, image in zip(sample.uris, sample.pixels_nhwc, strict=True):
        [alone] = take_sample(read, [_piece_of(run.shards, uri)]).pixels_nhwc
        assert np.array_equal(image, alone)
    assert np.array_equal(sample.pixels_nhwc, take_sample(read, every).pixels_nhwc)
    assert sample.costs
    assert sample.costs.read_s > 0
    assert sample.costs.decode_s > 0
    assert len(take_sample(read, [Piece(0, ((1, 2),))]).pixels_nhwc) == 1


def _piece_of(shards: Shards, uri: str) -> Piece:
    """Returns the piece that contains only the image ``uri``."""
    listed = [(shard, shards.load(shard)[URI].to_pylist()) for shard in range(shards.num_shards)]
    [(shard, row)] = [(shard, uris.index(uri)) for shard, uris in listed if uri in uris]
    return Piece(shard, ((row, row + 1),))


def test_a_sample_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "gone.jpg").write_bytes(b"x")
    run = opened(job_over(tmp_path / "images", tmp_path / "out"))
    (tmp_path / "images" / "gone.jpg").unlink()
    read = ReadPlan(run.shards.without_sizes(), Storage(), Decode(), PREPROCESS, 2)
    for pieces in ([], [Piece(0, ((0, 1),))]):
        sample = take_sample(read, pieces)
        assert sample.pixels_nhwc.shape == (0, *PREPROCESS.size, 3)
        assert sample.costs is None


@pytest.mark.parametrize(("num_shards", "size"), [(1, 5), (1, 1000), (40, 16), (1000, 512), (3, 1), (7, 2), (0, 1)])
def test_a_sample_is_spread_over_all_the_inventory(num_shards: int, size: int) -> None:
    sizes = np.full(num_shards, size, np.int32)
    ranges = {piece.shard: list(piece.ranges) for piece in spread(sizes, 64)}
    assert min(num_shards * size, 64) == count(ranges)
    assert all(0 <= start < stop <= size for runs in ranges.values() for start, stop in runs)
    rows = [shard * size + row for shard, runs in ranges.items() for start, stop in runs for row in range(start, stop)]
    assert rows == sorted(set(rows))
    gaps = np.diff([0, *rows, num_shards * size])
    assert gaps.max() <= max(8, num_shards * size / 8)


def test_a_sample_of_images_to_be_cut_holds_some_tiles_of_each(tmp_path: Path) -> None:
    add_photos(tmp_path / "images", range(3))  # 20 by 20 pixels
    (tmp_path / "images" / "1b.jpg").write_bytes(b"no image")
    run = opened(job_over(tmp_path / "images", tmp_path / "out"))
    read = ReadPlan(run.shards.without_sizes(), Storage(), Decode(), PREPROCESS, 2, tile=Tile(4, 0))
    every = [Piece(shard, ((0, int(size)),)) for shard, size in enumerate(run.shards.sizes)]
    sample = take_sample(read, every)
    assert sample.pixels_nhwc.shape == (3 * TILES_OF_AN_IMAGE, *PREPROCESS.size, 3)
    assert len(set(sample.uris)) == 3
    assert len({tile.tobytes() for tile in sample.pixels_nhwc}) > 2 * TILES_OF_AN_IMAGE
    assert sample.costs
    assert sample.costs.num_inputs == 3 * 25 / 4
    assert sample.costs.decode_s > 0
    [whole] = take_sample(replace(read, tile=Tile(20)), [Piece(0, ((0, 1),))]).pixels_nhwc
    assert np.array_equal(whole, take_sample(replace(read, tile=None), [Piece(0, ((0, 1),))]).pixels_nhwc[0])
