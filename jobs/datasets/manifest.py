"""A table of image URIs: CSV, TSV, JSON Lines or Parquet, plain or gzipped. Listed on the driver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import URI
from actors.errors import JobError
from actors.fetch import beside
from actors.messages import redacted
from actors.shards import Layout
from actors.uris import is_file
from jobs.datasets.base import Dataset
from jobs.datasets.carried import Carried, entry_table
from jobs.datasets.paths import container_files, naming
from jobs.datasets.tabular import SUFFIXES, read_tables

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class ManifestDataset(Dataset):
    """Every row of one or more tables is an image. A relative URI starts at the table's own folder.

    A row without URI is listed too, and ends as an error.
    """

    layout: ClassVar[Layout] = Layout.FILES

    kind: str = "manifest"
    uri_column: str = "uri"
    """Column of paths or URIs."""
    id_column: str | None = None
    """Column of image ids; the URI when not given."""
    label_column: str | None = None
    """Column of true labels, which the accuracy is computed from."""
    keep_columns: list[str] = field(default_factory=list)
    """Columns that are carried to the output."""

    def tables(self) -> Iterator[pa.Table]:
        carried = Carried(self.id_column, self.label_column, self.keep_columns)
        storage, schema = self.storage, None
        for file in container_files(self.paths(), storage, SUFFIXES):
            with naming(file.uri):
                for table in read_tables(file.uri, storage, self._keys(), self._texts()):
                    schema = schema or self._schema(carried, table.schema, file.uri)
                    columns: dict[str, Any] = {URI: _absolute(table[self.uri_column], file.uri)}
                    yield entry_table({**columns, **carried.columns(table, schema, file.uri)}, schema)

    def suffixes(self) -> list[str]:
        return SUFFIXES

    def kept_columns(self) -> list[str]:
        return self.keep_columns

    def _keys(self) -> dict[str, str]:
        keys = dict.fromkeys(self.keep_columns, "keep_columns")
        named = {"label_column": self.label_column, "id_column": self.id_column, "uri_column": self.uri_column}
        return keys | {name: key for key, name in named.items() if name is not None}

    def _texts(self) -> set[str]:
        return {self.uri_column, self.id_column or "", self.label_column or ""} - {""}

    def _schema(self, carried: Carried, source: pa.Schema, uri: str) -> pa.Schema:
        uris = source.field(self.uri_column).type
        if not (pa.types.is_string(uris) or pa.types.is_large_string(uris) or pa.types.is_dictionary(uris)):
            raise JobError(
                f"dataset.uri_column={self.uri_column}: it is {uris} in {redacted(uri)}, not string",
                cure="name the column that has the paths or URIs",
            )
        return carried.schema(source, uri)


def _absolute(names: pa.ChunkedArray, manifest: str) -> pa.ChunkedArray:
    """The URIs that ``names`` mean in the file ``manifest``; null becomes an empty string."""
    names = pc.fill_null(names.cast(pa.string()), "")
    if is_file(manifest) or pc.any(pc.match_substring_regex(names, _TO_RESOLVE)).as_py():
        return pa.chunked_array([[beside(manifest, name) if name else "" for name in names.to_pylist()]], pa.string())
    stands = pc.or_(
        pc.match_substring_regex(names, r"^(/|(?i:file):/|[A-Za-z][A-Za-z0-9+.\-]*://)"), pc.equal(names, "")
    )
    return pc.if_else(stands, names, pc.binary_join_element_wise(beside(manifest, ""), names, ""))


_TO_RESOLVE = r"(^|/)\.{1,2}/|^~/"
