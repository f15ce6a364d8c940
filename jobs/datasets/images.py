"""Dataset of image files: a folder, a glob, a URI prefix, or single files. Listed on the driver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from actors.columns import SIZE, TARGET, URI, VERSION
from actors.reading.shards import Layout
from actors.storage.uris import local_path
from jobs.datasets.base import Dataset
from jobs.datasets.image_kinds import EXTENSIONS, FIRST_EXTENSIONS, extra_extensions, unsupported_suffixes
from jobs.datasets.kept_columns import entry_schema, entry_table
from jobs.datasets.paths import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class ImagesDataset(Dataset):
    """Lists every image file below folders or prefixes, at any depth; follows symbolic links."""

    layout: ClassVar[Layout] = Layout.FILES

    kind: str = "images"
    extensions: list[str] = field(default_factory=lambda: list(EXTENSIONS))
    """Suffixes of files to list in a folder, case-insensitive; by default including those of installed plug-ins. A glob
    lists everything it matches."""
    folder_labels: bool = False
    """If true, the name of an image's folder is its label."""

    def tables(self) -> Iterator[pa.Table]:
        schema = entry_schema(has_target=self.folder_labels)
        storage, selection = self.storage, self.selection()
        yield schema.empty_table()
        for path in self.paths():
            for batch in list_files(path, storage, selection):
                yield self._table(batch, schema)

    def suffixes(self) -> list[str]:
        extras = extra_extensions() if self.extensions == EXTENSIONS else []
        return [f".{extension.lower().removeprefix('.')}" for extension in (*self.extensions, *extras)]

    def unsupported(self) -> list[str]:
        return unsupported_suffixes()

    def identity(self) -> dict[str, Any]:
        # Runs opened before a suffix was added keep their digest, so that they can still be resumed.
        default = {"extensions": FIRST_EXTENSIONS} if self.extensions == EXTENSIONS else {}
        return super().identity() | default

    def _table(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
        columns = {URI: batch["uri"], SIZE: batch["size"], VERSION: batch["version"]}
        if self.folder_labels:
            columns[TARGET] = pa.array([_folder(uri) for uri in batch["uri"].to_pylist()], pa.string())
        return entry_table(columns, schema)


def _folder(uri: str) -> str:
    if uri.startswith("file://"):
        uri = local_path(uri).decode(errors="replace")
    return uri.split("/")[-2]
