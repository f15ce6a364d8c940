"""Comparison of predicted with known numbers: the summary of regression. Runs in the sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import TARGET
from actors.tasks.fixed_point import NUMBER_BITS, to_units

if TYPE_CHECKING:
    from collections.abc import Mapping

MEASURES = ("num", "absolute_units", "square_units", "above_units", "below_units", "target_square_units")


def count_residuals(table: pa.Table, column: str) -> Mapping[str, int]:
    """Counts the rows with a number both in ``column`` and as known label, as ``residuals/COLUMN/MEASURE``.

    Sums the distances, their squares, and the known numbers and their squares, in units of 2**-64. Known labels that
    are not numbers are omitted.
    """
    if not {TARGET, column} <= set(table.column_names) or not pa.types.is_floating(table.schema.field(column).type):
        return {}
    is_number = pc.match_substring_regex(table[TARGET], _NUMBER)
    rows = table.filter(pc.and_(is_number, pc.is_valid(table[column])))
    known = pc.utf8_trim_whitespace(rows[TARGET]).cast(pa.float64()).to_numpy()
    errors = rows[column].to_numpy().astype(np.float64) - known
    sums = (errors, np.abs(errors), errors**2, known.clip(0), -known.clip(None, 0), known**2)
    values = (len(known), *(to_units(values, NUMBER_BITS) for values in sums[1:]))
    return {f"residuals/{column}/{name}": value for name, value in zip(MEASURES, values, strict=True)}


def only_number(table: pa.Table) -> str | None:
    """Returns the name of the column of ``table`` with a predicted number; None if several columns qualify."""
    fields = [field for field in table.schema if field.type == pa.float32() and not field.name.startswith("_")]
    return fields[0].name if len(fields) == 1 else None


_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?\s*$"
