"""Columns of a user's table that travel with an image: id, label, and kept columns. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.columns import ERROR_FIELDS, IMAGE_ID, INVENTORY_FIELDS, PARTITIONS, ROW, SHARD, TARGET, URI
from actors.errors import JobError
from actors.messages import one_line, redacted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def entry_schema(*, has_target: bool, kept: Sequence[pa.Field] = ()) -> pa.Schema:
    """Schema of entries: `INVENTORY_FIELDS` without shard and row, TARGET if labels are wanted, kept columns."""
    target = [pa.field(TARGET, pa.string())] if has_target else []
    return pa.schema([*(f for f in INVENTORY_FIELDS if f.name not in {SHARD, ROW}), *target, *kept])


def entry_table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """Builds entries of ``schema`` from the given columns; missing ones are filled with null.

    A null IMAGE_ID is replaced by URI, which must be given and have no nulls.
    """
    uris = columns[URI]
    ids = columns.get(IMAGE_ID)
    filled = {**columns, IMAGE_ID: uris if ids is None else pc.coalesce(ids, uris)}
    return pa.table([filled.get(field.name, pa.nulls(len(uris), field.type)) for field in schema], schema=schema)


@dataclass(frozen=True)
class Carried:
    """Names of columns from a dataset's config."""

    id_column: str | None
    label_column: str | None
    keep_columns: list[str]

    def names(self) -> list[str]:
        """Columns to read, without duplicates."""
        wanted = [self.id_column, self.label_column, *self.keep_columns]
        return list(dict.fromkeys(name for name in wanted if name is not None))

    def check(self) -> None:
        """Raises JobError if a kept column has the name of an output column."""
        for name in self.keep_columns:
            if name.lower() in PARTITIONS:  # names in DuckDB and Spark are case-insensitive
                raise JobError(
                    f"dataset.keep_columns={name}: the output is partitioned by {' and '.join(PARTITIONS)}, and "
                    "readers show the partition's value in place of such a column",
                    fix="rename the column in the dataset, or do not keep it",
                )
            if name in _RESERVED or name.startswith("_"):
                raise JobError(
                    f"dataset.keep_columns={name}: the output has a column of that name, or reserves such names",
                    fix="rename the column in the dataset, or do not keep it",
                )
        if len(set(self.keep_columns)) < len(self.keep_columns):
            raise JobError(f"dataset.keep_columns={self.keep_columns}: duplicate name", fix="name it once")

    def schema(self, source: pa.Schema, uri: str) -> pa.Schema:
        """Schema of the entries for a dataset whose first file, ``uri``, has the schema ``source``.

        Raises:
            JobError: a column is missing, or its type does not suit its purpose.
        """
        self.check()
        for key, name in (("id_column", self.id_column), ("label_column", self.label_column)):
            if name is not None and not _can_be_string(find_field(source, name, key=key, uri=uri).type):
                raise JobError(
                    f"dataset.{key}={name}: it is {source.field(name).type} in {redacted(uri)}",
                    fix="name a column of strings or numbers",
                )
        kept = [find_field(source, name, key="keep_columns", uri=uri) for name in self.keep_columns]
        fields = [_carried(field, uri) for field in kept]
        return entry_schema(has_target=self.label_column is not None, kept=fields)

    def columns(self, table: pa.Table, schema: pa.Schema, uri: str) -> dict[str, pa.ChunkedArray]:
        """Columns for `entry_table`, from a table with the columns of `names`.

        Raises:
            JobError: the columns or types differ from those of the first file.
        """
        wanted = [(name, name, schema.field(name).type) for name in self.keep_columns]
        if self.id_column is not None:
            wanted.append((IMAGE_ID, self.id_column, pa.string()))
        if self.label_column is not None:
            wanted.append((TARGET, self.label_column, pa.string()))
        return {ours: _cast(table, theirs, to, uri) for ours, theirs, to in wanted}


def find_field(schema: pa.Schema, name: str, *, key: str, uri: str) -> pa.Field:
    """Returns the field called ``name``. Raises JobError, naming ``dataset.<key>``, unless there is exactly one."""
    found = schema.get_all_field_indices(name)
    if len(found) == 1:
        return schema.field(found[0])
    problem = "has two columns of that name" if found else "has no such column"
    raise JobError(
        f"dataset.{key}={name}: {redacted(uri)} {problem}",
        fix=f"its columns are {', '.join(schema.names[:_MAX_NAMES])}",
    )


_RESERVED = frozenset({IMAGE_ID, URI, TARGET, *(field.name for field in ERROR_FIELDS)})
_MAX_NAMES = 20  # in a message; feature tables have thousands


def _carried(field: pa.Field, uri: str) -> pa.Field:
    """Returns the output field. Raises JobError if Arrow cannot select its rows, or Parquet cannot store them."""
    carried = pa.field(field.name, _plain(field.type))
    try:
        # Tested on two rows, because Arrow's cast, select and write support different types.
        pa.nulls(0, field.type).cast(carried.type)
        picked = pa.table([pa.nulls(2, carried.type)], schema=pa.schema([carried])).take([1]).filter([True])
        pq.write_table(picked, pa.BufferOutputStream())
    except pa.ArrowException as error:
        raise JobError(
            f"dataset.keep_columns={field.name}: it is {field.type} in {redacted(uri)}, which cannot be kept: "
            f"{one_line(error)}",
            fix="change its type there, or do not keep it",
        ) from error
    return carried


def _plain(arrow_type: pa.DataType) -> pa.DataType:
    """Returns the type without parts that differ between files (dictionaries), accept no later values (null), or
    contain rows that Arrow cannot select (views), at any depth.
    """
    if pa.types.is_dictionary(arrow_type):
        return _plain(arrow_type.value_type)
    if pa.types.is_struct(arrow_type):
        return pa.struct([_plain_field(field) for field in arrow_type])
    if pa.types.is_map(arrow_type):
        return pa.map_(_plain(arrow_type.key_type), _plain_field(arrow_type.item_field))
    if pa.types.is_fixed_size_list(arrow_type):
        return pa.list_(_plain_field(arrow_type.value_field), arrow_type.list_size)
    make_list = next((make for is_list, make in _LISTS if is_list(arrow_type)), None)
    return make_list(_plain_field(arrow_type.value_field)) if make_list else _PLAIN.get(arrow_type, arrow_type)


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(_plain(field.type))


_PLAIN = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary(), pa.null(): pa.string()}
_LISTS = (
    (pa.types.is_list, pa.list_),
    (pa.types.is_large_list, pa.large_list),
    (pa.types.is_list_view, pa.list_view),
    (pa.types.is_large_list_view, pa.large_list_view),
)


def _can_be_string(arrow_type: pa.DataType) -> bool:
    try:
        pa.nulls(0, arrow_type).cast(pa.string())
    except pa.ArrowNotImplementedError:
        return False
    return True


def _cast(table: pa.Table, name: str, to: pa.DataType, uri: str) -> pa.ChunkedArray:
    column = table[name]
    try:
        return column if column.type == to else column.cast(to)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise JobError(
            f"dataset.path={redacted(uri)}: its column {name} is {column.type} and cannot be converted to {to}",
            fix="give the column one type in all files",
        ) from error
