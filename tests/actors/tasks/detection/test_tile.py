from __future__ import annotations

import numpy as np
import pytest

from actors.errors import JobError
from actors.tasks.detection.tile import Tile, TileMerge


@pytest.mark.parametrize(("height", "width"), [(1, 1), (100, 640), (641, 639), (1100, 930), (3000, 4000), (513, 9999)])
@pytest.mark.parametrize("size", [640, [480, 320], [97, 512]])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5, 40])
def test_tiles_cover_the_picture_alike_and_overlap_by_as_much_as_asked(
    height: int, width: int, size: int | list[int], overlap: float
) -> None:
    tile = Tile(size, overlap)
    tile.check()
    places = tile.places(height, width)
    assert (places[:, 2:] - places[:, :2] == np.minimum(tile.side_hw, (height, width))[::-1]).all()
    for axis, length in ((0, width), (1, height)):
        starts, stops = np.unique(places[:, axis]), np.unique(places[:, axis + 2])
        side = tile.side_hw[1 - axis]
        assert starts[0] == 0
        assert stops[-1] == length
        # Half a pixel each, because starts are integers.
        assert (stops[:-1] - starts[1:] >= (overlap * side if overlap < 1 else overlap) - 1).all()
        assert len(np.unique(np.diff(starts))) <= 2
    assert len(np.unique(places, axis=0)) == len(places)


def test_the_whole_picture_comes_last_unless_it_is_one_tile() -> None:
    assert Tile(100, whole=True).places(150, 100).tolist() == [[0, 0, 100, 100], [0, 50, 100, 150], [0, 0, 100, 150]]
    assert Tile(100, whole=True).places(80, 100).tolist() == [[0, 0, 100, 80]]


@pytest.mark.parametrize("size", [0, -3, 1.5, "640", True, [640], [640, 0], [1, 2, 3]])
def test_an_impossible_size_is_refused(size: object) -> None:
    with pytest.raises(JobError, match=r"task\.tile\.size"):
        Tile(size).check()


@pytest.mark.parametrize(
    ("overlap", "match", "key"), [(-0.1, 0.5, "overlap"), (64, 0.5, "overlap"), (0.2, 1.1, "match")]
)
def test_impossible_numbers_are_refused(overlap: float, match: float, key: str) -> None:
    with pytest.raises(JobError, match=f"task.tile.{key}"):
        Tile(64, overlap, TileMerge.nms, match).check()


def test_tiles_are_off_until_a_size_is_given() -> None:
    Tile().check()
    assert not Tile().is_on
    assert Tile(64).is_on
