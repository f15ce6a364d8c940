"""Writes the inventory of a run: its images, divided into shards, as Parquet. Runs on the driver when a run is
opened.
"""

from __future__ import annotations

import hashlib
import math
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.columns import INVENTORY_FIELDS, ROW, SHARD, SIZE
from actors.messages import writing_to
from actors.reading.shards import (
    IMAGE_COLUMN_KEY,
    LAYOUT_KEY,
    NUM_SHARDS_KEY,
    SHARDS_PER_FILE,
    Layout,
    Shards,
    inventory_file,
    inventory_files,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from actors.storage.store import Storage


def write_inventory(
    entries: Iterator[pa.Table],
    *,
    storage: Storage,
    folder: str,
    shard_size: int | str,
    layout: Layout,
    image_column: str | None,
) -> Shards:
    """Streams ``entries`` to ``folder/inventory-*.parquet``, with the rows of at most two files in memory.

    A shard is one row group of ``shard_size`` rows; the last may have fewer. With ``auto``, the size is
    `auto_shard_size` of the first table. With `Layout.ROWS`, shards end where a table of ``entries`` ends, so that no
    two tasks read the same row group of the user's file. If there are no entries, one file without rows carries the
    schema. Deletes the files of an interrupted listing first.
    """
    storage.delete(inventory_files(storage, folder))
    first = next(entries)
    schema = _inventory_schema(first.schema, layout, image_column)
    if not isinstance(shard_size, int):
        shard_size = auto_shard_size(first)
    # The first two columns, shard and row number, are known only once shards are cut.
    tables = (table.cast(pa.schema(list(schema)[2:])) for table in chain([first], entries))
    cut = _cut_between(tables, shard_size) if layout is Layout.ROWS else _cut_exactly(tables, shard_size)
    sizes: list[np.ndarray] = []
    num_shards = 0
    digest = hashlib.sha256()
    for number, (shards, is_last) in enumerate(_files(cut)):
        data = _file(shards, first_shard=num_shards, schema=schema, is_last=is_last)
        with writing_to(folder):
            storage.write(inventory_file(folder, number), data)
        digest.update(hashlib.sha256(data).digest())
        sizes.append(np.array([len(shard) for shard in shards], np.int32))
        num_shards += len(shards)
    all_sizes = np.concatenate(sizes)
    return Shards(
        storage=storage,
        folder=folder,
        layout=layout,
        image_column=image_column,
        schema=schema.remove_metadata(),
        num_shards=num_shards,
        num_rows=int(all_sizes.sum(dtype=np.int64)),
        sizes=all_sizes,
        digest=digest.hexdigest(),
    )


def auto_shard_size(entries: pa.Table) -> int:
    """Returns the number of images of the mean size in ``entries`` that fit in about 64 MB: a power of two, so that
    batches are full.
    """
    mean_bytes = pc.mean(entries[SIZE]).as_py()
    if not mean_bytes:
        return _USUAL_SHARD
    return int(2 ** math.floor(math.log2(min(_MAX_SHARD, max(_MIN_SHARD, _SHARD_BYTES / mean_bytes)))))


# Small enough that a worker finishes a shard in seconds, large enough that scheduling overhead is small.
_SHARD_BYTES = 64_000_000
_MIN_SHARD, _USUAL_SHARD, _MAX_SHARD = 128, 512, 4096  # images; the default if sizes are unknown

# A row group of more shards than this is cut anyway: one task would hold too much for too long.
_MAX_TABLE_SHARDS = 8


def _inventory_schema(entries: pa.Schema, layout: Layout, image_column: str | None) -> pa.Schema:
    notes = {LAYOUT_KEY: layout.value, IMAGE_COLUMN_KEY: image_column or ""}
    return pa.schema([*INVENTORY_FIELDS[:2], *entries], metadata=notes)


def _cut_exactly(tables: Iterable[pa.Table], shard_size: int) -> Iterator[pa.Table]:
    pending: list[pa.Table] = []
    missing = shard_size
    for table in tables:
        start = 0
        while len(table) - start >= missing:
            yield pa.concat_tables([*pending, table.slice(start, missing)])
            start += missing
            pending, missing = [], shard_size
        if start < len(table):
            pending.append(table.slice(start))
            missing -= len(table) - start
    if pending:
        yield pa.concat_tables(pending)


def _cut_between(tables: Iterable[pa.Table], shard_size: int) -> Iterator[pa.Table]:
    pending: list[pa.Table] = []
    for table in tables:
        step = shard_size if len(table) > _MAX_TABLE_SHARDS * shard_size else max(1, len(table))
        for start in range(0, len(table), step):
            pending.append(table.slice(start, step))
            if sum(map(len, pending)) >= shard_size:
                yield pa.concat_tables(pending)
                pending = []
    if pending:
        yield pa.concat_tables(pending)


def _files(shards: Iterable[pa.Table]) -> Iterator[tuple[list[pa.Table], bool]]:
    pending: list[pa.Table] = []
    for shard in shards:
        if len(pending) == SHARDS_PER_FILE:
            yield pending, False
            pending = []
        pending.append(shard)
    # Written even without shards, to carry the schema.
    yield pending, True


def _file(shards: list[pa.Table], *, first_shard: int, schema: pa.Schema, is_last: bool) -> memoryview:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for shard, table in enumerate(shards, first_shard):
            # Arrow's default would cut row groups at 1,048,576 rows, and a shard must be exactly one.
            writer.write_table(_numbered(table, shard, schema), row_group_size=len(table))
        if is_last:
            # Only in the last file, so that an interrupted listing never looks complete.
            writer.add_key_value_metadata({NUM_SHARDS_KEY: str(first_shard + len(shards))})
    return memoryview(sink.getvalue())


def _numbered(table: pa.Table, shard: int, schema: pa.Schema) -> pa.Table:
    rows = np.arange(len(table), dtype=np.int32)
    numbers = {SHARD: pa.array(np.full_like(rows, shard)), ROW: pa.array(rows)}
    return pa.table([*numbers.values(), *table.columns], schema=schema)
