from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from actors.columns import DECODE_S, ERROR, MESSAGE, PREDICT_S, STAGE
from actors.errors import ImageError
from jobs.serving.rows import error_row, is_error, plain, rows_of


def test_rows_have_the_columns_of_the_task_or_the_error() -> None:
    predicted = pa.table({
        STAGE: [None, "predict"], ERROR: [None, "failed"], MESSAGE: [None, "why"],
        DECODE_S: [0.0, 0.0], PREDICT_S: [0.0, 0.0], "label": ["a", None], "scores": [[0.5], None],
    })  # fmt: skip
    rows = rows_of(predicted)
    assert rows == [{"label": "a", "scores": [0.5]}, error_row(ImageError("predict", "failed", "why"))]
    assert [is_error(row) for row in rows] == [False, True]


def test_values_become_what_json_holds() -> None:
    value = {"mask": b"\xff\x00", "vector": np.ones(2, np.float32), "bad": [float("nan"), float("-inf")], "n": None}
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == {
        "mask": "/wA=", "vector": [1.0, 1.0], "bad": [None, None], "n": None,
    }  # fmt: skip
