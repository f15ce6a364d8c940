from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from actors.errors import JobError
from jobs.comparison.number_columns import NumberColumns, differences


def test_columns_of_numbers_that_both_runs_have() -> None:
    a = pa.schema([("x", pa.float32()), ("list", pa.list_(pa.int8(), 3)), ("text", pa.string()), ("only a", pa.int8())])
    b = pa.schema([("list", pa.list_(pa.int64(), 3)), ("x", pa.float16()), ("text", pa.string())])
    found = NumberColumns.of(a, b)
    assert found.names == ["x", "list"]
    assert found.kept == pa.schema([("v0", pa.list_(pa.float32(), 1)), ("v1", pa.list_(pa.float64(), 3))])
    rows = pa.table({"list": pa.array([[1, 2, 3]], b.field("list").type), "x": pa.array([0.5], pa.float16())})
    assert found.keep(rows).to_pylist() == [{"v0": [0.5], "v1": [1, 2, 3]}]
    assert NumberColumns.of(pa.schema([]), pa.schema([])).names == []
    with pytest.raises(JobError, match="list has 3 values in run A and 4 in run B"):
        NumberColumns.of(a, pa.schema([("list", pa.list_(pa.int8(), 4))]))


def test_differences_of_values_that_are_not_finite() -> None:
    a, b = np.array([1, math.nan, math.inf, math.inf, math.nan]), np.array([3, math.nan, math.inf, -math.inf, 1])
    assert differences(a, b).tolist() == [2, 0, 0, math.inf, math.inf]
