"""Columns of published rows as shown in the table: one short value per row, for any column type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import IMAGE_ID, URI

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_CHARACTERS = 500  # of text other than an image name
_WHOLE = (IMAGE_ID, URI)


@dataclass(frozen=True)
class Column:
    """A displayed column."""

    name: str
    """Display name."""
    source: str
    """Column of the rows."""
    type: pa.DataType
    """Type of the displayed value: text, a number, or bool."""
    first: str = ""
    """Field to read from the first item of a list."""
    unit: str = ""
    """Unit of a list's length."""

    @property
    def is_number(self) -> bool:
        return not (pa.types.is_string(self.type) or pa.types.is_boolean(self.type))

    def values(self, rows: pa.Table) -> pa.Array:
        """Returns one value of `type` for each of ``rows``, null if the row has none."""
        column = rows[self.source].combine_chunks()
        if self.first:
            return _first(column, self.first).cast(self.type)
        if self.unit:
            return pc.list_value_length(column).cast(self.type)
        if _is_list(column.type):
            column = pc.binary_join(column, ", ")
        values = column.cast(self.type)
        is_cut = pa.types.is_string(self.type) and self.source not in _WHOLE
        return pc.utf8_slice_codeunits(values, 0, _MAX_CHARACTERS) if is_cut else values


def shown_columns(schema: pa.Schema) -> Sequence[Column]:
    """Returns the columns of ``schema`` that can be shown, in order. Lists are shown as their length, lists of text as
    text; for detections, the best label and score are also columns. Binary and nested columns are omitted.
    """
    return [column for field in schema for column in _columns(field)]


def _columns(field: pa.Field) -> list[Column]:
    name, kind = field.name, field.type
    if _is_list(kind):
        return _list_columns(name, kind.value_type)
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_written(kind):
        return [Column(name, name, pa.string())]
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64()):
        return [Column(name, name, kind)]
    return [Column(name, name, pa.float32())] if pa.types.is_float16(kind) else []


def _list_columns(name: str, item: pa.DataType) -> list[Column]:
    if pa.types.is_string(item):
        return [Column(name, name, pa.string())]
    if pa.types.is_integer(item) or pa.types.is_floating(item):
        return [Column(name, name, pa.int32(), unit="numbers")]
    if not pa.types.is_struct(item):
        return []
    fields = {field.name for field in item}
    best = [("label", pa.string()), ("score", pa.float32())] if {"label", "score"} <= fields else []
    return [*(Column(f"best {key}", name, kind, first=key) for key, kind in best), Column(
        name, name, pa.int32(), unit="items"
    )]  # fmt: skip


def _is_written(kind: pa.DataType) -> bool:
    return bool(pa.types.is_temporal(kind) or pa.types.is_decimal(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _first(lists: pa.Array, key: str) -> pa.Array:
    """Returns a field of the first item of each list, null if there is none."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    starts = pc.if_else(pc.greater(lengths, 0), lists.offsets[:-1], None)
    return lists.values.field(key).take(starts)
