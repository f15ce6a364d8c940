"""Read access to the inventory: numbered shards of one row group each. Opened by the driver, sent to workers."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.errors import JobError
from actors.storage.damage import is_damage
from actors.storage.uris import join, name_below, redacted

if TYPE_CHECKING:
    from actors.row_ranges import Piece
    from actors.storage.store import Storage

SHARDS_PER_FILE = 64  # keeps files few enough to list their names in memory

# Footer keys of the inventory's files. Only the last file has the number of shards, which reveals an interrupted
# listing.
LAYOUT_KEY = b"shardlens.layout"
IMAGE_COLUMN_KEY = b"shardlens.image_column"
NUM_SHARDS_KEY = b"shardlens.num_shards"


class Layout(StrEnum):
    """Location of the image bytes of an inventory row. The readers are in `layouts`."""

    FILES = "files"
    """The object URI is the image."""

    RANGES = "ranges"
    """The image is the byte range OFFSET, SIZE of FILE."""

    ROWS = "rows"
    """The image is in row OFFSET, counted from 0, of the Parquet file FILE."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class Shards:
    """A complete inventory. Workers receive the copy `without_sizes`."""

    storage: Storage
    folder: str
    layout: Layout
    image_column: str | None
    """The Parquet column with the images; None unless the layout is `Layout.ROWS`."""

    schema: pa.Schema
    """Schema of every shard: `INVENTORY_FIELDS`, TARGET if labels were requested, then the kept columns."""

    num_shards: int
    num_rows: int
    sizes: np.ndarray = field(repr=False)
    """Rows of each shard, int32; empty in the copy for workers."""
    digest: str | None = None
    """SHA-256 over the SHA-256 digests of the files, in order; None unless this process wrote them."""

    @classmethod
    def open(cls, storage: Storage, folder: str) -> Shards:
        """Opens the inventory below ``folder``. Raises FileNotFoundError if it is missing or incomplete."""
        uris = inventory_files(storage, folder)
        if not uris:
            raise FileNotFoundError(f"no inventory in {folder}")
        with ThreadPoolExecutor(_NUM_FOOTER_THREADS) as pool:
            footers = list(pool.map(lambda uri: _footer(storage, uri), uris))
        schema = footers[-1].schema.to_arrow_schema()
        notes = schema.metadata or {}
        sizes = [footer.row_group(group).num_rows for footer in footers for group in range(footer.num_row_groups)]
        if footers[-1].metadata.get(NUM_SHARDS_KEY) != str(len(sizes)).encode():
            raise FileNotFoundError(f"the inventory in {folder} is not complete")
        return cls(
            storage=storage,
            folder=folder,
            layout=Layout(notes[LAYOUT_KEY].decode()),
            image_column=notes[IMAGE_COLUMN_KEY].decode() or None,
            schema=schema.remove_metadata(),
            num_shards=len(sizes),
            num_rows=sum(sizes),
            sizes=np.array(sizes, np.int32),
        )

    def load(self, shard: int) -> pa.Table:
        """Loads the rows of one shard, in the order of ROW and with the columns of `schema`."""
        # A shard is a row group, so that a worker reads only the footer and its own rows.
        uri = inventory_file(self.folder, shard // SHARDS_PER_FILE)
        with self.storage.open(uri) as source, pq.ParquetFile(source) as file:
            table = file.read_row_group(shard % SHARDS_PER_FILE, use_threads=False)
        return table.replace_schema_metadata(None).combine_chunks()

    def load_piece(self, piece: Piece) -> pa.Table:
        """Loads the rows of a piece, like `load`.

        Raises:
            JobError: the file of the shard is damaged.
        """
        try:
            table = self.load(piece.shard)
        except Exception as error:
            if not is_damage(error):
                raise
            uri = inventory_file(self.folder, piece.shard // SHARDS_PER_FILE)
            raise JobError(
                redacted(f"{uri}: the inventory of this run is damaged: {str(error).partition(chr(10))[0]}"),
                fix="start a new run with another run.id, or with run.mode=full",
            ) from error
        return pa.concat_tables(table.slice(start, stop - start) for start, stop in piece.ranges)

    def without_sizes(self) -> Shards:
        """Returns the copy for workers, whose size does not grow with the number of shards."""
        return replace(self, sizes=np.empty(0, np.int32))


def inventory_file(folder: str, number: int) -> str:
    """Returns the URI of an inventory file: shard k is in file k // `SHARDS_PER_FILE`."""
    return join(folder, f"inventory-{number:05d}.parquet")


def inventory_files(storage: Storage, folder: str) -> list[str]:
    """Returns the files of an inventory, complete or not, in numerical order."""
    if storage.kind(folder) != "folder":
        return []
    uris = [uri for batch in storage.list(folder) for uri in batch["uri"].to_pylist()]
    found = [uri for uri in uris if re.fullmatch(r"inventory-\d{5,}\.parquet", name_below(folder, uri))]
    return sorted(found, key=lambda uri: (len(uri), uri))  # from the 100,000th on, names are longer


_NUM_FOOTER_THREADS = 16  # requests in flight, on the driver, before any worker reads


def _footer(storage: Storage, uri: str) -> pq.FileMetaData:
    with storage.open(uri) as source:
        return pq.read_metadata(source)
