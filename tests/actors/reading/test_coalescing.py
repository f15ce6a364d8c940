from __future__ import annotations

import pyarrow as pa

from actors.columns import FILE, OFFSET, SIZE
from actors.reading.coalescing import GAP_BYTES, SPAN_BYTES, Span, ascending_runs, spans


def members(*places: tuple[str, int, int]) -> pa.Table:
    files, offsets, sizes = zip(*places, strict=True)
    return pa.table({FILE: files, OFFSET: offsets, SIZE: sizes})


def test_neighbours_are_read_together() -> None:
    table = members(("a", 512, 100), ("a", 1024, 50), ("b", 2000, 5), ("b", 2000 + 5 + GAP_BYTES, 7))
    assert list(spans(table)) == [
        Span("a", 512, 562, [(512, 100), (1024, 50)]),
        Span("b", 2000, GAP_BYTES + 12, [(2000, 5), (2005 + GAP_BYTES, 7)]),
    ]


def test_what_lies_apart_backwards_or_is_too_much_is_read_alone() -> None:
    for second in ((GAP_BYTES + 101, 1), (50, 10), (0, 100), (100, SPAN_BYTES - 99)):
        assert len(list(spans(members(("a", 0, 100), ("a", *second))))) == 2
    assert len(list(spans(members(("a", 0, 100), ("a", 100, SPAN_BYTES - 100))))) == 1
    assert [span.size for span in spans(members(("a", 0, 2 * SPAN_BYTES)))] == [2 * SPAN_BYTES]


def test_a_run_stays_in_one_file_and_goes_forward() -> None:
    table = members(("a", 0, 0), ("a", 1, 0), ("a", 7, 0), ("b", 8, 0), ("a", 9, 0), ("a", 9, 0), ("a", 3, 0))
    assert list(ascending_runs(table)) == [("a", [0, 1, 7]), ("b", [8]), ("a", [9]), ("a", [9]), ("a", [3])]


def test_no_rows() -> None:
    empty = members(("a", 0, 0)).slice(0, 0)
    assert list(spans(empty)) == list(ascending_runs(empty)) == []
