"""Converts rows of a predictor to JSON values. Runs in the replicas of the model."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.columns import DECODE_S, ERROR, MESSAGE, PREDICT_S, STAGE

if TYPE_CHECKING:
    import pyarrow as pa

    from actors.errors import ImageError

Row = dict[str, Any]


def rows_of(predicted: pa.Table) -> list[Row]:
    """Returns the rows of `Predictor.predict_block`: the task's columns, or stage, error and message of a failure."""
    names = [name for name in predicted.column_names if name not in _INTERNAL]
    columns = {name: plain(predicted[name].to_pylist()) for name in names}
    errors = zip(*(predicted[name].to_pylist() for name in (STAGE, ERROR, MESSAGE)), strict=True)
    return [
        {name: columns[name][number] for name in names} if stage is None else _error(stage, kind, message)
        for number, (stage, kind, message) in enumerate(errors)
    ]


def error_row(error: ImageError) -> Row:
    """Returns the row of a failed image."""
    return _error(error.stage, error.kind, error.message)


def is_error(row: Row) -> bool:
    """Returns True for a row like those that `error_row` returns."""
    return row.keys() == {"stage", "error", "message"}


def plain(value: Any) -> Any:
    """Returns ``value`` with arrays as lists, bytes in base64, and null for numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _error(stage: str, kind: str, message: str) -> Row:
    return {"stage": stage, "error": kind, "message": message}


_INTERNAL = {STAGE, ERROR, MESSAGE, DECODE_S, PREDICT_S}
