"""Dataset of images in a column of Parquet files. Listed on the driver from footers and small columns only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.columns import FILE, OFFSET, URI, VERSION
from actors.errors import JobError
from actors.messages import redacted
from actors.reading.row_group_versions import row_group_versions
from actors.reading.shards import Layout
from jobs.datasets.base import Dataset
from jobs.datasets.kept_columns import Carried, entry_table, find_field
from jobs.datasets.paths import container_files, naming

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.datasets.listed_files import File


@dataclass
class ParquetDataset(Dataset):
    """Lists every row of Parquet files as an image: files, folders or prefixes of ``*.parquet``, globs.

    An image's URI is the file's, ``#`` and the row number from 0. Each row group yields one table of entries. The
    version is that of the row group (see `row_group_version`): if a file grows, only the added rows are new.
    """

    layout: ClassVar[Layout] = Layout.ROWS

    kind: str = "parquet"
    image_column: str = "image"
    """Column of encoded images: binary, or a struct of bytes and path as written by Hugging Face."""
    id_column: str | None = None
    """Column of image ids; by default the URI."""
    label_column: str | None = None
    """Column of true labels, for the accuracy."""
    keep_columns: list[str] = field(default_factory=list)
    """Columns copied to the output."""

    def tables(self) -> Iterator[pa.Table]:
        carried = Carried(self.id_column, self.label_column, self.keep_columns)
        if self.image_column in carried.names():
            raise JobError(
                f"dataset.image_column={self.image_column}: the images cannot be kept, nor serve as id or label",
                fix="remove that name from keep_columns, id_column and label_column",
            )
        storage, schema = self.storage, None
        for file in container_files(self.paths(), storage, self.selection()):
            with naming(file.uri), storage.open(file.uri) as source, pq.ParquetFile(source) as parquet:
                _check_images(parquet.schema_arrow, self.image_column, file.uri)
                own_schema = carried.schema(parquet.schema_arrow, file.uri)
                schema = schema or own_schema
                yield schema.empty_table()
                yield from _row_groups(parquet, file, carried, schema)
        if schema is None:
            yield self.no_entries()

    def suffixes(self) -> list[str]:
        return [".parquet"]

    def kept_columns(self) -> list[str]:
        return self.keep_columns


def _check_images(schema: pa.Schema, column: str, uri: str) -> None:
    arrow_type = find_field(schema, column, key="image_column", uri=uri).type
    if pa.types.is_struct(arrow_type) and arrow_type.get_field_index("bytes") >= 0:
        arrow_type = arrow_type.field("bytes").type
    if arrow_type not in _BINARY:
        raise JobError(
            f"dataset.image_column={column}: it is {arrow_type} in {redacted(uri)}",
            fix="name a column of encoded images: binary, or a struct of bytes and path",
        )


_BINARY = (pa.binary(), pa.large_binary(), pa.binary_view())


def _row_groups(parquet: pq.ParquetFile, file: File, carried: Carried, schema: pa.Schema) -> Iterator[pa.Table]:
    start = 0
    for group, version in enumerate(row_group_versions(parquet.metadata)):
        stop = start + parquet.metadata.row_group(group).num_rows
        table = parquet.read_row_group(group, columns=carried.names(), use_threads=False)
        places = _places(file.uri, version, range(start, stop))
        yield entry_table({**places, **carried.columns(table, schema, file.uri)}, schema)
        start = stop


def _places(uri: str, version: str, rows: range) -> dict[str, Any]:
    numbers = pa.array(np.arange(rows.start, rows.stop, dtype=np.int64))
    return {
        URI: pc.binary_join_element_wise(uri, numbers.cast(pa.string()), "#"),
        FILE: pa.repeat(uri, len(rows)),
        OFFSET: numbers,
        VERSION: pa.repeat(version, len(rows)),
    }
