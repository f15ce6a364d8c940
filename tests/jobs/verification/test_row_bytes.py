from __future__ import annotations

import datetime as dt
import decimal

import pyarrow as pa
import pytest

from jobs.verification.row_bytes import cells, side_by_side

ARRAYS = [
    pa.array([1, None, -3, 4], pa.int32()),
    pa.array([0.0, float("nan"), None, 1e-3], pa.float32()),
    pa.array([0.5, None, 2, 3], pa.float16()),
    pa.array([True, False, None, True]),
    pa.array(["a", "", None, "日本"]),
    pa.array(["a", "", None, "日本"], pa.large_string()),
    pa.array(["a", "", None, "日本"], pa.string_view()),
    pa.array([b"\0", b"", None, b"x" * 300]),
    pa.array([b"ab", None, b"cd", b"\0\0"], pa.binary(2)),
    pa.array([[1.0], [], None, [2.0, None, 3.0]], pa.list_(pa.float32())),
    pa.array([[1.0, 2.0], [None, 0.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    pa.array([["a", "bc"], [], None, [None, "", "d"]], pa.large_list(pa.string())),
    pa.array([[[1], []], [], None, [None, [2, 3]]], pa.list_(pa.list_(pa.int64()))),
    pa.array([{"x": 1, "y": "a"}, {"x": None, "y": "b"}, None, {"x": 2, "y": None}]),
    pa.array(["a", "b", None, "a"]).dictionary_encode(),
    pa.array([dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (1, 2, 3)] + [None]),
    pa.array([decimal.Decimal("1.20"), None, decimal.Decimal("-7.00"), decimal.Decimal(0)], pa.decimal128(9, 2)),
    pa.array([[("k", 1)], [], None, [("k", 2), ("l", None)]], pa.map_(pa.string(), pa.int32())),
    pa.nulls(4),
    pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), (1, 2)), pa.array([[1, 2], [3, 4], None, [5, 6]], pa.list_(pa.float32(), 2))
    ),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.type))
def test_each_value_has_bytes_of_its_own_however_it_is_sliced(array: pa.Array) -> None:
    whole = list(cells(array).rows())
    distinct = {repr(value) for value in array.to_pylist()}
    assert len(set(whole)) == len(distinct)
    for start in range(len(array) + 1):
        assert list(cells(array.slice(start)).rows()) == whole[start:]
        assert list(cells(array.slice(0, start)).rows()) == whole[:start]
    assert list(cells(array.slice(1, 0)).rows()) == []


VALID = pa.py_buffer(bytes([0b101]))
OFFSETS = pa.py_buffer(b"".join(number.to_bytes(4, "little") for number in (0, 1, 3, 4)))
UNDER = [
    (pa.Array.from_buffers(pa.int16(), 3, [VALID, pa.py_buffer(b"abcdef")]), [0x6261, None, 0x6665]),
    (pa.Array.from_buffers(pa.string(), 3, [VALID, OFFSETS, pa.py_buffer(b"abcd")]), ["a", None, "d"]),
    (
        pa.Array.from_buffers(pa.list_(pa.int8()), 3, [VALID, OFFSETS], children=[pa.array([1, 2, 3, 4], pa.int8())]),
        [[1], None, [4]],
    ),
    (
        pa.Array.from_buffers(pa.struct({"x": pa.int8()}), 3, [VALID], children=[pa.array([1, 2, 3], pa.int8())]),
        [{"x": 1}, None, {"x": 3}],
    ),
]


@pytest.mark.parametrize(("array", "values"), UNDER, ids=lambda array: str(getattr(array, "type", "")))
def test_what_lies_under_a_null_does_not_count(array: pa.Array, values: list[object]) -> None:
    array.validate(full=True)
    assert list(cells(array).rows()) == list(cells(pa.array(values, array.type)).rows())


def test_neighbours_cannot_lend_each_other_bytes() -> None:
    def rows(*columns: list[object]) -> list[bytes]:
        return list(side_by_side([cells(pa.array(column)) for column in columns]).rows())

    assert rows(["ab"], ["c"]) != rows(["a"], ["bc"])
    assert rows([["ab", "c"]]) != rows([["a", "bc"]])
    assert rows([["a"], ["b"]]) != rows([["a", "b"], []])
    assert rows([[1], [2, 3]])[1:] == rows([[2, 3]])
    assert rows([""]) != rows([None])
    assert rows([0]) != rows([None])
