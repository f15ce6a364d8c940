"""Reads images from a column of a Parquet file by row number, a few at a time. Runs in the read tasks of workers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.parquet as pq

from actors.reading.row_group_versions import row_group_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from actors.storage.store import Storage

READ_BYTES = 16 << 20  # decoded at a time, estimated from the average of the row group
BUFFER_BYTES = 4 << 20  # per request: a whole column chunk can be larger than a worker's memory
_MAX_READ_ROWS = 256  # of small images: reading ends with the batch of the last requested row


class ImageColumn:
    """A column of encoded images in an open Parquet file: binary, or Hugging Face's struct of bytes and path.

    Keeps about `READ_BYTES` of rows in memory, and their page, whose size is up to the file's writer.

    Raises:
        KeyError: the file has no such column.
        OSError, pyarrow.ArrowException: the file cannot be read; also raised by the methods.
    """

    def __init__(self, uri: str, column: str, storage: Storage) -> None:
        self._source = storage.open(uri)
        try:
            self._file = pq.ParquetFile(self._source, buffer_size=BUFFER_BYTES)
            self._leaves = _leaves(self._file.schema_arrow, column)
        except BaseException:
            self._source.close()
            raise
        self._column = column
        metadata = self._file.metadata
        groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts = [0, *accumulate(groups)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._source.close()

    def by_group(self, numbers: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
        """Yields row groups, each with the positions in it of ascending row numbers of the file.

        For numbers beyond the end of the file, the group is the number of row groups.
        """
        # bisect_right, since an empty row group shares its start with the next one.
        for group, members in groupby(numbers, lambda number: bisect_right(self._starts, number) - 1):
            yield group, [number - self._starts[group] for number in members]

    def version(self, group: int) -> str | None:
        """Returns the `row_group_version` of a row group; None if the file has no such group."""
        metadata = self._file.metadata
        return row_group_version(metadata, group) if group < metadata.num_row_groups else None

    def read(self, group: int, positions: Sequence[int]) -> Iterator[tuple[bytes | None, str | None]]:
        """Yields bytes and path at ascending ``positions`` of a row group; either is None if absent."""
        start, done = 0, 0
        batches = self._file.iter_batches(
            batch_size=self._batch_rows(group), row_groups=[group], columns=self._leaves, use_threads=False
        )
        for batch in batches:
            column = batch.column(self._column)
            end = bisect_left(positions, start + len(batch))
            for position in positions[done:end]:
                yield _value(column[position - start])
            start, done = start + len(batch), end
            if done == len(positions):
                return

    def _batch_rows(self, group: int) -> int:
        chunks = self._file.metadata.row_group(group)
        columns = [chunks.column(index) for index in range(chunks.num_columns)]
        num_bytes = sum(chunk.total_uncompressed_size for chunk in columns if chunk.path_in_schema in self._leaves)
        return int(min(_MAX_READ_ROWS, max(1, READ_BYTES * chunks.num_rows // max(1, num_bytes))))


def _leaves(schema: pa.Schema, column: str) -> list[str]:
    field = schema.field(column)
    if not pa.types.is_struct(field.type):
        return [column]
    return [f"{column}.{child.name}" for child in field.type if child.name in {"bytes", "path"}]


def _value(scalar: pa.Scalar) -> tuple[bytes | None, str | None]:
    value = scalar.as_py()
    if isinstance(value, dict):
        return value.get("bytes"), value.get("path")
    return value, None
