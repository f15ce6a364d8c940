from __future__ import annotations

import random

import numpy as np
import pytest

from actors.row_ranges import Piece
from jobs.runs.coverage import Coverage, StrangeRowsError


def coverage(*sizes: int) -> Coverage:
    return Coverage(np.array(sizes, np.int32))


def test_what_no_file_holds_is_missing() -> None:
    rows = coverage(5, 3, 4)
    assert rows.take({0: [(1, 2), (3, 5)], 2: [(0, 4)]})
    assert rows.missing() == [Piece(0, ((0, 1), (2, 3))), Piece(1, ((0, 3),))]
    assert rows.missing(limit=1) == [Piece(0, ((0, 1), (2, 3)))]
    assert (rows.num_rows, rows.num_missing) == (7, 5)


def test_a_file_of_which_one_row_is_there_already_is_not_taken_at_all() -> None:
    rows = coverage(5, 3)
    assert rows.take({0: [(2, 4)]})
    for ranges in ({0: [(3, 5)]}, {1: [(0, 3)], 0: [(0, 1), (2, 3)]}, {0: [(0, 5)]}, {0: [(2, 4)]}):
        assert not rows.take(ranges)
    assert rows.missing() == [Piece(0, ((0, 2), (4, 5))), Piece(1, ((0, 3),))]


def test_whole_shards_take_nothing_more() -> None:
    rows = coverage(2)
    assert rows.take({0: [(0, 1)]})
    assert rows.take({0: [(1, 2)]})
    assert not rows.take({0: [(0, 1)]})
    assert rows.missing() == []


@pytest.mark.parametrize("ranges", [{2: [(0, 1)]}, {-1: [(0, 1)]}, {0: [(0, 6)]}, {0: [(-1, 2)]}])
def test_rows_that_were_never_listed(ranges: dict[int, list[tuple[int, int]]]) -> None:
    with pytest.raises(StrangeRowsError, match=r"shard -?\d, rows"):
        coverage(5, 3).take(ranges)


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_a_set_of_rows(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  no secret
    sizes = [rng.randrange(0, 12) for _ in range(6)]
    rows, expected = coverage(*sizes), set[tuple[int, int]]()
    for _ in range(40):
        shard = rng.choice([number for number, size in enumerate(sizes) if size] or [0])
        cuts = sorted(rng.sample(range(sizes[shard] + 1), min(4, sizes[shard] + 1) // 2 * 2)) if sizes[shard] else []
        runs = [(start, stop) for start, stop in zip(cuts[::2], cuts[1::2], strict=True)]
        wanted = {(shard, row) for start, stop in runs for row in range(start, stop)}
        if runs:
            assert rows.take({shard: runs}) == (not wanted & expected)
            expected |= wanted if not wanted & expected else set()
    missing = {
        (piece.shard, row) for piece in rows.missing() for start, stop in piece.ranges for row in range(start, stop)
    }
    assert missing == {(shard, row) for shard, size in enumerate(sizes) for row in range(size)} - expected
    assert rows.num_missing == len(missing)


def test_what_is_missing_of_our_own_shards_and_of_the_others() -> None:
    rows = Coverage(np.array([5, 3, 4], np.int32), np.array([True, False, True]))
    assert rows.take({0: [(1, 5)], 1: [(0, 1)]})
    assert rows.missing() == [Piece(0, ((0, 1),)), Piece(2, ((0, 4),))]
    assert (rows.num_listed, rows.num_rows, rows.num_missing, rows.num_missing_elsewhere) == (9, 4, 5, 2)
    assert not rows.take({1: [(0, 2)]})  # rows of other slices are not taken twice either
    assert [rows.concerns(ranges) for ranges in ({1: [(1, 2)]}, {1: [(1, 2)], 2: [(0, 1)]})] == [False, True]
