"""Numeric columns present in both runs, as arrays of one layout, for embed, regress and raw. Used on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class NumberColumns:
    """Columns by their user-visible names; in the tables of a comparison, they are ``v0``, ``v1`` and so on, lists of
    float32 or float64.
    """

    names: Sequence[str]
    kept: pa.Schema

    @classmethod
    def of(cls, a: pa.Schema, b: pa.Schema) -> Self:
        """Returns the columns that both answer schemas have.

        Raises:
            JobError: there are none, or the number of values differs.
        """
        layouts = [dict(_layouts(schema)) for schema in (a, b)]
        names = [name for name in layouts[0] if name in layouts[1]]
        if not names and (len(a) or len(b)):
            raise JobError(
                f"the runs have no column of numbers in common: A has {_listed(a)}, B has {_listed(b)}",
                fix="compare runs whose models give outputs of the same names",
            )
        for name in names:
            lengths = [layout[name][0] for layout in layouts]
            if lengths[0] != lengths[1]:
                raise JobError(
                    f"column {name} has {lengths[0]} values in run A and {lengths[1]} in run B",
                    fix="compare runs whose models give outputs of the same shape",
                )
        fields = [_kept(place, [layout[name] for layout in layouts]) for place, name in enumerate(names)]
        return cls(names, pa.schema(fields))

    @property
    def num_values(self) -> int:
        """Number of values in one row."""
        return sum(int(field.type.list_size) for field in self.kept)

    def keep(self, rows: pa.Table) -> pa.Table:
        """Returns the columns ``v0``, ``v1`` and so on of rows."""
        kept = []
        for name, field in zip(self.names, self.kept, strict=True):
            column = rows[name].combine_chunks()
            column = column.storage if isinstance(column.type, pa.BaseExtensionType) else column
            lists = pt.is_fixed_size_list(column.type)
            values = (column.flatten() if lists else column).cast(field.type.value_type)
            kept.append(pa.FixedSizeListArray.from_arrays(values, type=field.type))
        return pa.Table.from_arrays(kept, schema=self.kept)

    def pairs(self, pairs: pa.Table) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields, for each column, the values of both runs, float64 (n, length)."""
        for field in self.kept:
            yield _array(pairs[f"a_{field.name}"], field), _array(pairs[f"b_{field.name}"], field)


def differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns absolute differences; equal values, infinite ones and NaN included, differ by 0, NaN from others by
    inf.
    """
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    are_equal = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(are_equal, 0, np.where(np.isnan(apart), np.inf, apart))


def _layouts(schema: pa.Schema) -> Iterator[tuple[str, tuple[int, pa.DataType]]]:
    """Returns the number of values and their type for each numeric column."""
    for field in schema:
        kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        length, value = (kind.list_size, kind.value_type) if pt.is_fixed_size_list(kind) else (1, kind)
        if length and (pt.is_floating(value) or pt.is_integer(value) or pt.is_boolean(value)):
            yield field.name, (length, value)


def _kept(place: int, layouts: Sequence[tuple[int, pa.DataType]]) -> pa.Field:
    are_small = all(pt.is_float16(value) or pt.is_float32(value) or pt.is_boolean(value) for _, value in layouts)
    return pa.field(f"v{place}", pa.list_(pa.float32() if are_small else pa.float64(), layouts[0][0]))


def _array(column: pa.ChunkedArray, field: pa.Field) -> np.ndarray:
    length = field.type.list_size
    values = np.asarray(pc.list_flatten(column).to_numpy(), np.float64)
    return values.reshape(-1, length)


def _listed(schema: pa.Schema) -> str:
    return ", ".join(schema.names) or "none"
