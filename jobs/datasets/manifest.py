"""Dataset of image URIs in CSV, TSV, JSON, Parquet, or a plain list of paths. Listed on the driver."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import SIZE, URI, VERSION
from actors.errors import JobError
from actors.messages import redacted
from actors.reading.shards import Layout
from actors.storage.uris import is_file, resolve
from jobs.datasets.base import LATER, Dataset
from jobs.datasets.csv_rows import Csv
from jobs.datasets.image_versions import ImageVersions, Versions
from jobs.datasets.kept_columns import Carried, entry_table
from jobs.datasets.paths import container_files, naming
from jobs.datasets.tabular import SUFFIXES, Columns, TableFormat, read_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOG = logging.getLogger("shardlens")


@dataclass
class ManifestDataset(Dataset):
    """Lists every row of one or more tables as an image. A relative URI is resolved against the table's folder.

    A row without a URI is also listed, and becomes an error row.
    """

    layout: ClassVar[Layout] = Layout.FILES

    kind: str = "manifest"
    uri_column: str = "uri"
    """Column of paths or URIs."""
    id_column: str | None = None
    """Column of image ids; by default the URI."""
    label_column: str | None = None
    """Column of true labels, for the accuracy."""
    keep_columns: list[str] = field(default_factory=list)
    """Columns copied to the output; from Parquet with their types, otherwise as text."""
    format: TableFormat = field(default=TableFormat.auto, metadata=LATER)
    """Format of the files; auto infers it from their names."""
    csv: Csv = field(default_factory=Csv, metadata=LATER)
    """Format of CSV and TSV files."""
    versions: Versions = field(default=Versions.all, metadata=LATER)
    """Images whose size and version are requested, so that the next run detects changes."""
    version_requests: int = field(default=64, metadata=LATER)
    """Requests for versions in flight at once. Lower it for a server that limits requests."""

    def check(self) -> None:
        self.csv.check()
        if self.version_requests < 1:
            raise JobError(
                f"dataset.version_requests={self.version_requests}: must be at least 1",
                fix="omit it, or set dataset.versions=none to request no versions",
            )
        super().check()

    def tables(self) -> Iterator[pa.Table]:
        wanted = Columns(self._keys(), self.uri_column, self.format, self.csv)
        carried = Carried(self.id_column, self.label_column, self.keep_columns)
        schema, num_rows, unseen = None, 0, set(wanted.keys)
        try:
            with ImageVersions(self.image_storage, self.versions, num_requests=self.version_requests) as versions:
                for file, table in self._files(wanted, unseen):
                    schema = schema or self._schema(carried, table.schema, file)
                    columns = {URI: _absolute(table[self.uri_column], file), **carried.columns(table, schema, file)}
                    num_rows += len(table)
                    yield from self._with_versions(entry_table(columns, schema), versions)
        except GeneratorExit:  # the limit is reached
            if unseen and num_rows:
                LOG.warning("%s", _unseen(min(unseen), wanted.keys, self.path).problem)
            raise
        if schema is None:
            yield self.no_entries()
        if unseen and num_rows:
            raise _unseen(min(unseen), wanted.keys, self.path)

    def _files(self, wanted: Columns, unseen: set[str]) -> Iterator[tuple[str, pa.Table]]:
        """Yields the tables of every file, each with the file's URI."""
        storage = self.storage
        for file in container_files(self.paths(), storage, self.selection()):
            with naming(file.uri):
                for table in read_tables(file.uri, storage, wanted, self.passed_over, unseen):
                    yield file.uri, table

    def _with_versions(self, entries: pa.Table, versions: ImageVersions) -> Iterator[pa.Table]:
        """Yields ``entries`` in small slices, so that no more images are requested than needed."""
        if self.versions is Versions.none or not len(entries):
            yield entries
            return
        step = min(_REQUESTED_ROWS, self.limit or _REQUESTED_ROWS)
        for start in range(0, len(entries), step):
            part = entries.slice(start, step)
            for name, values in zip((SIZE, VERSION), versions.describe(part[URI].to_pylist()), strict=True):
                field = part.schema.field(name)
                part = part.set_column(part.schema.get_field_index(name), field, pa.array(values, field.type))
            yield part

    def suffixes(self) -> list[str]:
        return SUFFIXES

    def identity(self) -> dict[str, Any]:
        # The request limit does not affect what is listed: a run with a different limit can be resumed.
        return {key: value for key, value in super().identity().items() if key != "version_requests"}

    def kept_columns(self) -> list[str]:
        return self.keep_columns

    def _keys(self) -> dict[str, str]:
        keys = dict.fromkeys(self.keep_columns, "keep_columns")
        named = {"label_column": self.label_column, "id_column": self.id_column, "uri_column": self.uri_column}
        return keys | {name: key for key, name in named.items() if name is not None}

    def _schema(self, carried: Carried, source: pa.Schema, uri: str) -> pa.Schema:
        uris = source.field(self.uri_column).type
        if not (pa.types.is_string(uris) or pa.types.is_large_string(uris) or pa.types.is_dictionary(uris)):
            raise JobError(
                f"dataset.uri_column={self.uri_column}: it is {uris} in {redacted(uri)}, not string",
                fix="name the column with the paths or URIs",
            )
        return carried.schema(source, uri)


def _unseen(name: str, keys: Mapping[str, str], path: object) -> JobError:
    return JobError(
        f"dataset.{keys[name]}={name}: no object of {redacted(str(path))} has such a key",
        fix="check the spelling, including capital letters",
    )


def _absolute(names: pa.ChunkedArray, manifest: str) -> pa.ChunkedArray:
    """Resolves ``names`` relative to the file ``manifest``; null becomes an empty string."""
    names = pc.fill_null(names.cast(pa.string()), "")
    if is_file(manifest) or pc.any(pc.match_substring_regex(names, _TO_RESOLVE)).as_py():
        return pa.chunked_array([[resolve(manifest, name) if name else "" for name in names.to_pylist()]], pa.string())
    is_absolute = pc.or_(
        pc.match_substring_regex(names, r"^(/|(?i:file):/|[A-Za-z][A-Za-z0-9+.\-]*://)"), pc.equal(names, "")
    )
    return pc.if_else(is_absolute, names, pc.binary_join_element_wise(resolve(manifest, ""), names, ""))


_REQUESTED_ROWS = 4096  # enough to keep `version_requests` in flight
# If any name needs it, its whole table is processed in Python; otherwise Arrow joins all names at once.
_TO_RESOLVE = r"(^|/)\.{1,2}/|^~/"
