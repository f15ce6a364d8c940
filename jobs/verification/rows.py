"""Compares the rows of a part with the inventory rows that its receipt names. Runs in several threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import ERROR_FIELDS, IMAGE_ID, URI
from actors.storage.uris import without_users
from jobs.verification.values import wrong_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ERRORS_IN_DIGEST = [IMAGE_ID, URI, "stage", "error"]  # messages may contain attempts, addresses and times


def wrong_columns(schema: pa.Schema, folder: str, carried: Sequence[str]) -> str:
    """Describes the first wrong column of a part; empty if all are right."""
    # The columns of a task depend on its config, so only those present in every output are fixed.
    wanted = ERROR_FIELDS if folder == "errors" else ERROR_FIELDS[:2]
    for field in wanted:
        if field.name not in schema.names or schema.field(field.name).type != field.type:
            return f"column {field.name} is not {field.type}"
    if folder == "errors":
        return "" if len(schema) == len(ERROR_FIELDS) else f"more columns than {len(ERROR_FIELDS)}"
    missing = [name for name in carried if name not in schema.names]
    if missing:
        return f"column {missing[0]} is missing, though the inventory has it"
    return "" if task_columns(schema, carried) else "no task columns"


def task_columns(schema: pa.Schema, carried: Sequence[str]) -> list[str]:
    """Returns the names of the columns that the task added."""
    return [name for name in schema.names if name not in {IMAGE_ID, URI, *carried}]


def wrong_rows(
    table: pa.Table, listed: pa.Table, folder: str, *, are_ratios: bool = False
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields each possible fault with the boolean mask of the rows that have it.

    Args:
        table: rows of a part that passed `wrong_columns`.
        listed: the corresponding inventory rows, in the same order.
        folder: ``rows`` or ``errors``.
        are_ratios: True if scores must lie between 0 and 1.
    """
    for name in [IMAGE_ID, URI] if folder == "errors" else listed.column_names:
        yield f"{name} differs from the inventory", _differences(table[name], listed[name], name)
    if folder == "errors":
        for name in ("stage", "error", "message"):
            yield f"{name} is empty", pc.equal(pc.fill_null(table[name], ""), "").to_numpy()
        return
    results = table.select(task_columns(table.schema, listed.column_names[2:]))
    yield (
        "all task columns are null",
        ~np.logical_or.reduce([column.is_valid().to_numpy() for column in results.columns]),
    )
    yield from wrong_values(results, are_ratios=are_ratios)


def _differences(column: pa.ChunkedArray, listed: pa.ChunkedArray, name: str) -> np.ndarray:
    """Returns a mask of the rows whose values differ; NaN equals NaN. URIs match with or without user and password,
    which older outputs kept.
    """
    if column.equals(listed):
        return np.zeros(len(column), bool)
    if name in {IMAGE_ID, URI} and not (shown := without_users(listed)).equals(listed):
        differs_from_both: np.ndarray = _differences(column, shown, "") & _differences(column, listed, "")
        return differs_from_both
    pairs = zip(column.to_pylist(), listed.to_pylist(), strict=True)
    return np.array([not _is_same(value, other) for value, other in pairs], bool)


def _is_same(value: Any, other: Any) -> bool:
    # NaN differs from itself, even within lists and structs; its text does not.
    return bool(value == other) or repr(value) == repr(other)
