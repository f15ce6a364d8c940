"""Versions of Parquet row groups, which reveal changes. Used by listings on the driver, and by read tasks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.parquet as pq


def row_group_versions(metadata: pq.FileMetaData) -> Iterator[str]:
    """Yields the `row_group_version` of every row group of a file, in order."""
    start = 0
    for group in range(metadata.num_row_groups):
        yield _digest(metadata.row_group(group), start)
        start += metadata.row_group(group).num_rows


def row_group_version(metadata: pq.FileMetaData, group: int) -> str:
    """Returns 32 hex digits that change with the row group's footer and first row.

    The digest covers the number of its first row, its number of rows, and each column chunk's name, type, encodings,
    compression, sizes, number of values and statistics. Byte positions do not count, so row groups can be appended, or
    earlier ones rewritten with the same number of rows.

    Pixels do not count: writers keep no statistics of values as large as images. An image replaced by one of exactly
    the same size looks unchanged, and so do reordered rows without compression. Use `run.mode=full` for files that
    change in this way or contain images of a fixed size.
    """
    start = sum(metadata.row_group(before).num_rows for before in range(group))
    return _digest(metadata.row_group(group), start)


def _digest(group: pq.RowGroupMetaData, start: int) -> str:
    # 128 bits of SHA-256: the inventory keeps a copy in every row.
    chunks = [_evidence(group.column(index)) for index in range(group.num_columns)]
    return hashlib.sha256(repr((start, group.num_rows, chunks)).encode()).hexdigest()[:32]


def _evidence(chunk: pq.ColumnChunkMetaData) -> tuple[Any, ...]:
    return (
        chunk.path_in_schema,
        chunk.physical_type,
        chunk.compression,
        chunk.encodings,
        chunk.num_values,
        chunk.total_compressed_size,
        chunk.total_uncompressed_size,
        _bounds(chunk.statistics) if chunk.is_stats_set else None,
    )


def _bounds(statistics: pq.Statistics) -> tuple[Any, ...]:
    """Returns the null count, minimum and maximum as stored: bytes, number or boolean."""
    nulls = statistics.null_count if statistics.has_null_count else None
    return (nulls, *((statistics.min_raw, statistics.max_raw) if statistics.has_min_max else ()))
