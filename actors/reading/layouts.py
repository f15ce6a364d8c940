"""The reader of each layout. A new layout is a member of `Layout`, a module with its reader, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from actors.reading.byte_ranges import ByteRanges
from actors.reading.parquet_rows import ParquetRows
from actors.reading.shards import Layout
from actors.reading.whole_files import WholeFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from actors.reading.image_bytes import Image
    from actors.reading.ordered_requests import OrderedRequests
    from actors.reading.shards import Shards
    from actors.storage.store import Storage


class LayoutReader(Protocol):
    """Reads images from the locations in their inventory rows."""

    def images(self, rows: pa.Table, requests: OrderedRequests) -> Iterator[Image]:
        """Yields one image or error per row, in order. Never raises for a problem with an image or its file.

        Closing the iterator must leave no request in flight.
        """
        ...


READERS: Mapping[Layout, Callable[[Shards, Storage, int | None], LayoutReader]] = {
    Layout.FILES: WholeFiles,
    Layout.RANGES: ByteRanges,
    Layout.ROWS: ParquetRows,
}
"""Constructors of readers: they accept the inventory, the images' storage, and an image's size limit in bytes."""
