"""Images in separate files. Runs in the read tasks of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.columns import SIZE, URI
from actors.reading.image_bytes import read_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from actors.reading.image_bytes import Image
    from actors.reading.ordered_requests import OrderedRequests
    from actors.reading.shards import Shards
    from actors.storage.store import Storage


class WholeFiles:
    """The `LayoutReader` of `Layout.FILES`: one request per image."""

    def __init__(self, _: Shards, storage: Storage, max_bytes: int | None) -> None:
        self._storage = storage
        self._max_bytes = max_bytes

    def images(self, rows: pa.Table, requests: OrderedRequests) -> Iterator[Image]:
        places = zip(rows[URI].to_pylist(), rows[SIZE].to_pylist(), strict=True)
        return requests.map(self._read, places, uris=rows[URI])

    def _read(self, place: tuple[str, int | None]) -> Image:
        uri, size = place
        return read_image(uri, storage=self._storage, max_bytes=self._max_bytes, size=size)
