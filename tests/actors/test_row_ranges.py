"""Row ranges, and the pieces cut from them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from actors.columns import ROW, SHARD
from actors.row_ranges import Piece, count, row_ranges, shards_and_rows

Runs = tuple[tuple[int, int], ...]


def test_ranges_are_ascending_and_as_few_as_can_be() -> None:
    table = pa.table({SHARD: [2, 0, 0, 0, 2, 0], ROW: [7, 3, 1, 2, 9, 5]})
    ranges = row_ranges(table)
    assert ranges == {0: [(1, 4), (5, 6)], 2: [(7, 8), (9, 10)]}
    assert count(ranges) == 6
    shards, rows = shards_and_rows(ranges)
    assert [*zip(shards, rows, strict=True)] == [(0, 1), (0, 2), (0, 3), (0, 5), (2, 7), (2, 9)]


def test_no_rows_give_no_ranges() -> None:
    table = pa.table({SHARD: pa.array([], pa.int32()), ROW: pa.array([], pa.int32())})
    assert row_ranges(table) == {}
    assert [len(found) for found in shards_and_rows({})] == [0, 0]


def test_a_piece_says_which_rows_it_is() -> None:
    assert str(Piece(4, ((0, 2), (7, 8)))) == "shard 4, rows 0 to 1, 7 to 7"


@pytest.mark.parametrize(
    ("ranges", "num_rows", "parts"),
    [
        (((0, 4),), 9, [((0, 4),)]),
        (((0, 4),), 4, [((0, 4),)]),
        (((0, 5),), 2, [((0, 2),), ((2, 4),), ((4, 5),)]),
        (((0, 3), (7, 9), (20, 30)), 6, [((0, 3), (7, 9), (20, 21)), ((21, 27),), ((27, 30),)]),
        (((0, 2), (4, 6)), 2, [((0, 2),), ((4, 6),)]),
    ],
)
def test_a_piece_is_cut_into_pieces_of_the_same_rows(ranges: Runs, num_rows: int, parts: list[Runs]) -> None:
    assert [piece.ranges for piece in Piece(4, ranges).cut(num_rows)] == parts
    assert {piece.shard for piece in Piece(4, ranges).cut(num_rows)} == {4}
