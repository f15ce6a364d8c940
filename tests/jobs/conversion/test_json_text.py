from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.conversion.json_text import json_object, json_text, lists_of, offsets_of, plain

BOX = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32()), ("mask", pa.binary())]))


def parsed(array: pa.Array) -> list[Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return [json.loads(text, parse_constant=refuse) for text in json_text(array).to_pylist()]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, -3], pa.int32()),
        ([True, None, False], pa.bool_()),
        (["plain", None, "", 'quo"te', "back\\slash", "line\nend\t\x00\x1f", "日本 é \u2028"], pa.string()),
        (["large", None], pa.large_string()),
        ([[1, 2], None, []], pa.list_(pa.int64())),
        ([["a", None], []], pa.large_list(pa.string())),
        ([[1, 2], None], pa.list_(pa.int8(), 2)),
        ([{"x": 1, "y": None}, None], pa.struct([("x", pa.int32()), ("y", pa.string())])),
        ([None, None], pa.null()),
        ([[[1], []], [None]], pa.list_(pa.list_(pa.int32()))),
    ],
)
def test_values_are_those_of_python(values: list[Any], kind: pa.DataType) -> None:
    array = pa.array(values, kind)
    assert parsed(array) == values
    assert parsed(array.slice(1)) == values[1:]
    assert parsed(array.slice(0, 0)) == []


def test_floats_have_the_digits_of_their_type_and_are_json() -> None:
    values = [0.1, 1e-7, 123456.0, 1e20, 19.9, float("nan"), float("inf"), None]
    wanted = [0.1, 1e-7, 123456.0, 1e20, 19.9, None, None, None]
    assert parsed(pa.array(values, pa.float32())) == wanted
    assert parsed(pa.array(values, pa.float64())) == wanted
    assert parsed(pa.array(np.array([0.1, 2], np.float16))) == [pytest.approx(0.1, abs=1e-4), 2]
    random = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert np.array_equal(np.array(parsed(pa.array(random)), np.float32), random)


def test_what_json_lacks_becomes_text() -> None:
    assert parsed(pa.array([b"\x00\xff", None])) == [base64.b64encode(b"\x00\xff").decode(), None]
    assert parsed(pa.array([dt.datetime(2026, 1, 2, 3, 4)])) == ["2026-01-02 03:04:00.000000"]  # noqa: DTZ001
    assert parsed(pa.array([decimal.Decimal("1.50")])) == ["1.50"]
    assert parsed(pa.array(["a", None, "a"]).dictionary_encode()) == ["a", None, "a"]
    assert parsed(pa.array([[("k", 1.0)]], pa.map_(pa.string(), pa.float64()))) == [[["k", 1.0]]]


def test_run_lengths_are_text_as_in_coco() -> None:
    masks = [{"size": [4, 6], "counts": rb"0o\1"}, None]
    kind = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.binary())])
    assert parsed(pa.array(masks, kind)) == [{"size": [4, 6], "counts": r"0o\1"}, None]
    assert parsed(pa.array([masks, None], pa.list_(kind))) == [[{"size": [4, 6], "counts": r"0o\1"}, None], None]


def test_tensors_are_nested_as_they_are_shaped() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(values)
    assert parsed(tensors) == values.tolist()
    assert parsed(tensors.slice(1)) == values[1:].tolist()
    assert parsed(pa.concat_arrays([tensors, pa.nulls(1, tensors.type)])) == [*values.tolist(), None]


def test_boxes_keep_their_order_and_their_nulls() -> None:
    rows = [
        [{"label": "a", "score": 0.5, "mask": b"0o\\1"}, None],
        None,
        [],
        [{"label": None, "score": 1, "mask": None}],
    ]
    whole = parsed(pa.array(rows, BOX))
    assert whole[0][0]["mask"] == base64.b64encode(b"0o\\1").decode()
    assert whole[0][1] is None
    assert whole[1:] == rows[1:]


def test_an_object_a_row() -> None:
    columns = {'ke"y': pa.array([1, 2]), "list": pa.array([[0.5], []], pa.list_(pa.float32()))}
    assert [json.loads(text) for text in json_object(columns).to_pylist()] == [
        {'ke"y': 1, "list": [0.5]},
        {'ke"y': 2, "list": []},
    ]


def test_lists_and_their_offsets() -> None:
    lists = pa.array([[9], [1, 2], None, [3]], pa.list_(pa.int32())).slice(1)
    assert offsets_of(lists).tolist() == [0, 2, 2, 3]
    assert lists_of(lists.flatten(), offsets_of(lists)).to_pylist() == [[1, 2], [], [3]]
    assert plain(pa.chunked_array([[1], [2]])).to_pylist() == [1, 2]
    assert plain(pa.array([1])).to_pylist() == [1]
