"""CSV, JSON Lines and Parquet as one stream of tables, by the name of the file. Runs on the driver."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from jobs.datasets.carried import find_field
from jobs.datasets.listing import is_web

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from actors.storage import Storage

SUFFIXES = [".csv", ".tsv", ".jsonl", ".ndjson", ".csv.gz", ".tsv.gz", ".jsonl.gz", ".ndjson.gz", ".parquet"]


def read_tables(uri: str, storage: Storage, keys: Mapping[str, str], texts: Collection[str]) -> Iterator[pa.Table]:
    """The wanted columns of a file, in tables of one schema; the first one is empty.

    The types of CSV and JSON columns are those of the first `_BLOCK_BYTES`.

    Args:
        uri: its name says the format; what ends in none of `SUFFIXES` is read as CSV.
        storage: where it is.
        keys: the wanted columns, each with the config key that names it.
        texts: those that are read as the text that stands there, so that 007 stays 007.

    Raises:
        JobError: a wanted column is missing, or there twice.
        OSError, pyarrow.ArrowException: the file is broken.
    """
    name = _name(uri).removesuffix(".gz")
    if name.endswith(".parquet"):
        return _parquet(uri, storage, keys)
    if name.endswith((".jsonl", ".ndjson")):
        return _json(uri, storage, keys, texts)
    return _csv(uri, storage, keys, texts)


_BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 10_000


def _open(uri: str, storage: Storage) -> BinaryIO:
    """Of a web server the whole file is held: many give no parts of files."""
    return io.BytesIO(storage.read(uri)) if is_web(uri) else storage.open(uri)


def _name(uri: str) -> str:
    """What says the format: without the query of a URL, and in lower case."""
    return (uri.partition("?")[0] if is_web(uri) else uri).lower()


def _parquet(uri: str, storage: Storage, keys: Mapping[str, str]) -> Iterator[pa.Table]:
    with _open(uri, storage) as source, pq.ParquetFile(source) as file:
        fields = [find_field(file.schema_arrow, column, key=key, uri=uri) for column, key in keys.items()]
        schema = pa.schema(fields)
        yield schema.empty_table()
        for batch in file.iter_batches(_BATCH_ROWS, columns=schema.names, use_threads=False):
            yield pa.Table.from_batches([batch]).select(schema.names)


def _csv(uri: str, storage: Storage, keys: Mapping[str, str], texts: Collection[str]) -> Iterator[pa.Table]:
    with _open(uri, storage) as source:
        header = _csv_reader(source, uri, pa_csv.ConvertOptions()).schema
    for column, key in keys.items():
        find_field(header, column, key=key, uri=uri)
    unseen = [field.name for field in header if pa.types.is_null(field.type)]  # values may come later
    options = pa_csv.ConvertOptions(
        include_columns=list(keys),
        column_types=dict.fromkeys([*texts, *unseen], pa.string()),
        strings_can_be_null=True,
        null_values=[""],  # an image may well be called NA or null
    )
    with _open(uri, storage) as source:
        yield from _tables(_csv_reader(source, uri, options))


def _csv_reader(source: Any, uri: str, options: pa_csv.ConvertOptions) -> pa_csv.CSVStreamingReader:
    delimiter = "\t" if _name(uri).removesuffix(".gz").endswith(".tsv") else ","
    return pa_csv.open_csv(
        _uncompressed(source, uri),
        read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=options,
    )


def _json(uri: str, storage: Storage, keys: Mapping[str, str], texts: Collection[str]) -> Iterator[pa.Table]:
    with _open(uri, storage) as source:
        seen = _json_reader(source, uri, None).schema
    found = [find_field(seen, column, key=key, uri=uri) for column, key in keys.items()]
    schema = pa.schema([pa.field(f.name, _json_type(f.type, is_text=f.name in texts)) for f in found])
    with _open(uri, storage) as source:
        yield from _tables(_json_reader(source, uri, schema))


def _json_reader(source: Any, uri: str, schema: pa.Schema | None) -> pa.RecordBatchReader:
    return pa_json.open_json(
        _uncompressed(source, uri),
        read_options=pa_json.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
        parse_options=pa_json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="ignore" if schema else "infer"
        ),
    )


def _json_type(seen: pa.DataType, *, is_text: bool) -> pa.DataType:
    """Arrow takes a string that looks like a time for one; JSON has no times."""
    is_string = pa.types.is_temporal(seen) or pa.types.is_null(seen)
    is_number = pa.types.is_integer(seen) or pa.types.is_floating(seen) or pa.types.is_boolean(seen)
    return pa.string() if is_string or (is_text and not is_number) else seen


def _uncompressed(source: Any, uri: str) -> Any:
    return pa.CompressedInputStream(source, "gzip") if _name(uri).endswith(".gz") else source


def _tables(reader: Any) -> Iterator[pa.Table]:
    yield reader.schema.empty_table()
    for batch in reader:
        yield pa.Table.from_batches([batch])
