"""Reads CSV, JSON and Parquet files as streams of tables: every record of a file becomes a row, or the file is
rejected. Runs on the driver.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from actors.errors import JobError
from actors.messages import redacted
from jobs.datasets.csv_rows import Csv, CsvFile, PathsFile
from jobs.datasets.json_rows import json_rows, tables_of
from jobs.datasets.kept_columns import find_field
from jobs.datasets.listed_files import is_web
from jobs.datasets.text_files import COMPRESSIONS, TextFile, plain_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from actors.storage.store import Storage
    from jobs.datasets.passed_over import PassedOver


class TableFormat(StrEnum):
    """Format of the files of a manifest."""

    auto = "auto"
    """Inferred from each file's suffix; CSV if it has none."""
    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    """One JSON object per line."""
    json = "json"
    """One array of objects, or one object per line."""
    parquet = "parquet"
    paths = "paths"
    """One path or URI per line, and nothing else."""


_FORMATS = {
    ".csv": TableFormat.csv,
    ".tsv": TableFormat.tsv,
    ".jsonl": TableFormat.jsonl,
    ".ndjson": TableFormat.jsonl,
    ".json": TableFormat.json,
}
_ONLY_IF_NAMED = {".txt": TableFormat.paths, ".lst": TableFormat.paths, ".parquet": TableFormat.parquet}

SUFFIXES = [*(f"{suffix}{packed}" for suffix in _FORMATS for packed in ("", *COMPRESSIONS)), ".parquet"]
"""Suffixes of files that are listed from a folder."""


@dataclass(frozen=True)
class Columns:
    """Columns to read from each file, and the format of the files."""

    keys: Mapping[str, str]
    """Names of the columns, each with its config key."""
    uri_column: str
    """The column that a plain list of paths provides."""
    table_format: TableFormat = TableFormat.auto
    csv: Csv = field(default_factory=Csv)


def read_tables(
    uri: str, storage: Storage, columns: Columns, passed_over: PassedOver, unseen: set[str]
) -> Iterator[pa.Table]:
    """Yields columns of a file in tables of one schema; the first one is empty.

    Columns of Parquet have the types that the file declares. Those of CSV and JSON are text, exactly as written.

    Args:
        uri: its suffix determines the format, unless ``columns`` does.
        storage: storage of the file.
        columns: columns to read.
        passed_over: counts blank lines.
        unseen: names of columns found in the file are removed from it. JSON keys may appear in any object, so the
            caller knows which ones are missing only when all files are read.

    Raises:
        JobError: a column is missing or duplicated, or a line is invalid.
        OSError, EOFError, pyarrow.ArrowException: the file is broken.
    """
    table_format = columns.table_format
    if table_format is TableFormat.auto:
        table_format = _format_of(uri)
    if table_format in {TableFormat.json, TableFormat.jsonl}:
        yield from _json(TextFile(uri, storage), columns, table_format, passed_over, unseen)
        return
    unseen.difference_update(columns.keys)
    if table_format is TableFormat.parquet:
        yield from _parquet(uri, storage, columns.keys)
    elif table_format is TableFormat.paths:
        for name, key in columns.keys.items():
            find_field(pa.schema([(columns.uri_column, pa.string())]), name, key=key, uri=uri)
        yield from PathsFile(TextFile(uri, storage)).tables(columns.uri_column, passed_over)
    else:
        file = CsvFile(TextFile(uri, storage), columns.csv, is_tsv=table_format is TableFormat.tsv)
        yield from file.tables(columns.keys, passed_over)


_BATCH_ROWS = 10_000  # of a Parquet manifest, whose row groups often have a million rows


def _format_of(uri: str) -> TableFormat:
    name = plain_name(uri)
    name = next((name.removesuffix(suffix) for suffix in COMPRESSIONS if name.endswith(suffix)), name)
    formats = _FORMATS | _ONLY_IF_NAMED
    return next((formats[suffix] for suffix in formats if name.endswith(suffix)), TableFormat.csv)


def _parquet(uri: str, storage: Storage, keys: Mapping[str, str]) -> Iterator[pa.Table]:
    # A file from a web server is held in memory: many servers lack range requests.
    source = io.BytesIO(storage.read(uri)) if is_web(uri) else storage.open(uri)
    with source, pq.ParquetFile(source) as file:
        fields = [find_field(file.schema_arrow, column, key=key, uri=uri) for column, key in keys.items()]
        schema = pa.schema(fields)
        yield schema.empty_table()
        for batch in file.iter_batches(_BATCH_ROWS, columns=schema.names, use_threads=False):
            yield pa.Table.from_batches([batch]).select(schema.names)


def _json(
    file: TextFile, columns: Columns, table_format: TableFormat, passed_over: PassedOver, unseen: set[str]
) -> Iterator[pa.Table]:
    names, own = list(columns.keys), set(columns.keys)
    with file.naming_lines(), file.open_text() as text:
        may_be_array = table_format is TableFormat.json
        rows = json_rows(text, may_be_array=may_be_array, name=redacted(file.uri), passed_over=passed_over)
        for number, table in enumerate(tables_of(rows, names, own)):
            if not number:
                _check_uris(table, columns.uri_column, own, file.uri)
                yield table.slice(0, 0)
            unseen.intersection_update(own)
            yield table


def _check_uris(first: pa.Table, name: str, unseen: set[str], uri: str) -> None:
    """Raises JobError if none of the ``first`` objects has the key: the others are unlikely to have it either."""
    if len(first) and name in unseen:
        raise JobError(
            f"dataset.uri_column={name}: none of the first {len(first):,} objects of {redacted(uri)} has such a key",
            fix="name the key of the paths or URIs",
        )
