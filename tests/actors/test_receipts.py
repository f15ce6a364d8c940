from __future__ import annotations

import json

import pyarrow as pa
import pytest

from actors.columns import ROW, SHARD
from actors.receipts import FOOTER_KEY, Piece, Receipt, count, row_ranges
from actors.summaries import Summary

Runs = tuple[tuple[int, int], ...]


def test_ranges_are_ascending_and_as_few_as_can_be() -> None:
    table = pa.table({SHARD: [2, 0, 0, 0, 2, 0], ROW: [7, 3, 1, 2, 9, 5]})
    ranges = row_ranges(table)
    assert ranges == {0: [(1, 4), (5, 6)], 2: [(7, 8), (9, 10)]}
    assert count(ranges) == 6


def test_no_rows_give_no_ranges() -> None:
    table = pa.table({SHARD: pa.array([], pa.int32()), ROW: pa.array([], pa.int32())})
    assert row_ranges(table) == {}


def test_a_receipt_comes_back_from_json_that_anyone_can_read() -> None:
    receipt = Receipt(
        {3: [(0, 5)]}, Summary(num_errors=5, error_kinds={"a/b": 5}, error_examples={"a/b": [["u", "m"]]})
    )
    footer = receipt.to_footer()
    assert json.loads(footer)["ranges"] == {"3": [[0, 5]]}
    assert Receipt.from_footer({FOOTER_KEY: footer}) == receipt


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


def test_a_file_without_a_receipt_is_told_apart() -> None:
    assert Receipt.from_footer(None) is None
    assert Receipt.from_footer({b"other": b"1"}) is None


WHOLE = {"ranges": {"3": [[0, 2], [4, 5]]}, "summary": {"num_ok": 3}}


@pytest.mark.parametrize(
    "footer",
    [
        b"",
        b"[" * 200_000,
        b"\xff",
        b"[]",
        b"{}",
        *(
            json.dumps(WHOLE | change).encode()
            for change in (
                {"ranges": 7},
                {"ranges": {"three": [[0, 3]]}},
                {"ranges": {"3": []}},
                {"ranges": {"3": [[0, 2, 3]]}},
                {"ranges": {"3": [[0, 2.0], [4, 5]]}},
                {"ranges": {"3": [[0, True], [4, 6]]}},
                {"ranges": {"3": [[-1, 2]]}},
                {"ranges": {"3": [[4, 5], [0, 2]]}},
                {"ranges": {"3": [[0, 4]]}},
                {"summary": {"num_ok": "3"}},
                {"summary": {"num_ok": 4, "num_errors": -1}},
                {"summary": {"num_ok": 3, "read_s": None}},
                {"summary": {"num_ok": 3, "error_kinds": {"a": "b"}}},
                {"summary": {"num_ok": 3, "error_examples": {"a": []}}},
                {"summary": {"num_ok": 3, "unknown": 1}},
            )
        ),
    ],
)
def test_a_damaged_receipt_is_a_value_error(footer: bytes) -> None:
    assert Receipt.from_footer({FOOTER_KEY: json.dumps(WHOLE).encode()}) is not None
    with pytest.raises(
        ValueError, match=r"not a (receipt|summary)|not an object|Expecting|decode|nested|ranges|literal|unpack"
    ):
        Receipt.from_footer({FOOTER_KEY: footer})
