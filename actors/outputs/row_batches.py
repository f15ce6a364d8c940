"""Reads the rows of parts in batches of bounded size, whatever their content."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import BaseError

from actors.columns import PARTITIONS
from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.storage.damage import is_damage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from actors.outputs.published_run import PublishedRun
    from actors.storage.store import Storage

Item = TypeVar("Item")


def read_schema(runs: Sequence[PublishedRun], storage: Storage) -> pa.Schema:
    """Returns the columns of all ``runs``, the newest run's first. All parts of a run have the same columns.

    Raises:
        JobError: no run has rows, or the types of a column conflict.
    """
    schemas = [(run, part_schema(run.rows[0], storage)) for run in runs if run.rows]
    if not schemas:
        num_errors = sum(run.num_errors for run in runs)
        raise JobError(
            f"{' and '.join(run.run_id for run in runs[:2])}: no rows; {num_errors:,} images failed",
            fix="errors/ has the reason for each image",
        )
    try:
        return pa.unify_schemas([schema for _, schema in schemas], promote_options="permissive")
    except pa.ArrowException as error:
        raise JobError(
            f"the columns of runs {', '.join(run.run_id for run, _ in schemas)} do not agree: {one_line(error)}",
            fix="read one of them; jobs.convert does with convert.run=RUN_ID",
        ) from error


def part_schema(part: str, storage: Storage) -> pa.Schema:
    """Returns the columns of a part. Raises `JobError` if it is damaged or missing."""
    with reading(part), storage.open(part) as source, pq.ParquetFile(source) as file:
        return file.schema_arrow.remove_metadata()


def read_batches(parts: Iterable[str], storage: Storage, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yields the rows of ``parts`` in order, in tables of ``schema``; columns missing from a part are null.

    Raises:
        JobError: a part is damaged or missing.
    """
    for part in parts:
        with reading(part), storage.open(part) as source, pq.ParquetFile(source) as file:
            there = file.schema_arrow
            names = [name for name in schema.names if name in there.names]
            for batch in file.iter_batches(_batch_rows(file.metadata), columns=names):
                yield _conformed(batch, schema)


def run_batches(run: PublishedRun, parts: Sequence[str], storage: Storage, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yields the rows of ``parts`` of ``run`` like `read_batches`, with the partitions in ``schema``."""
    values = {PARTITIONS[0]: run.fingerprint, PARTITIONS[1]: run.run_id}
    own = pa.schema([field for field in schema if field.name not in values])
    for table in read_batches(parts, storage, own):
        columns = [
            pa.repeat(values[name], len(table)) if name in values else table[name].combine_chunks()
            for name in schema.names
        ]
        yield pa.Table.from_arrays(columns, schema=schema)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yields ``items`` while a second thread prepares the next one."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item


def picked(tables: Iterable[pa.Table], numbers: Iterator[np.ndarray]) -> Iterator[pa.Table]:
    """Yields the rows of ``tables`` at the ascending positions ``numbers``, counted from 0 across all tables."""
    start, waiting = 0, np.empty(0, np.int64)
    for table in tables:
        stop = start + len(table)
        while not len(waiting) or waiting[-1] < stop:
            more = next(numbers, None)
            if more is None:
                break
            waiting = np.concatenate([waiting, more])
        count = int(np.searchsorted(waiting, stop))
        if count:
            yield table if count == len(table) else table.take(waiting[:count] - start)
        start, waiting = stop, waiting[count:]


@contextmanager
def reading(part: str) -> Iterator[None]:
    """Converts errors in the block from the part or its storage to `JobError`."""
    try:
        yield
    except Exception as error:
        if not is_damage(error) and not isinstance(error, OSError | BaseError):
            raise
        raise JobError(
            f"{redacted(part)}: cannot be read: {one_line(error)}",
            fix="python -m jobs.verify output.path=… names everything that is damaged or missing",
        ) from error


_BATCH_BYTES = 8 << 20  # uncompressed; converted to text, it takes several times as much
_BATCH_ROWS = 8192


def _batch_rows(metadata: pq.FileMetaData) -> int:
    num_rows: int = metadata.num_rows
    num_bytes: int = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * num_rows // max(1, num_bytes)))


def _conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    columns = [
        batch[field.name].cast(field.type) if field.name in batch.schema.names else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
