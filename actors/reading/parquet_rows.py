"""Images in rows of Parquet files, as bytes or as paths relative to the file. Runs in the read tasks of workers."""

from __future__ import annotations

from itertools import islice, repeat
from typing import TYPE_CHECKING

from actors.columns import VERSION
from actors.errors import ImageError
from actors.reading.coalescing import ascending_runs
from actors.reading.container_versions import changed
from actors.reading.image_bytes import checked, padded, read_image
from actors.reading.image_column import ImageColumn
from actors.storage.uris import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from actors.reading.image_bytes import Image
    from actors.reading.ordered_requests import OrderedRequests
    from actors.reading.shards import Shards
    from actors.storage.store import Storage


class ParquetRows:
    """The `LayoutReader` of `Layout.ROWS`. Reads the rows of a file in one pass.

    The allowlist of ``storage`` applies only to the paths in the rows: the job itself names the files.
    """

    def __init__(self, shards: Shards, storage: Storage, max_bytes: int | None) -> None:
        self._column = shards.image_column or ""
        self._storage = storage
        self._unrestricted = storage.unrestricted()
        self._max_bytes = max_bytes

    def images(self, rows: pa.Table, _: OrderedRequests) -> Iterator[Image]:
        versions = iter(rows[VERSION].to_pylist())
        for uri, numbers in ascending_runs(rows):
            listed = list(islice(versions, len(numbers)))
            yield from padded(self._read(uri, numbers, listed), len(numbers))

    def _read(self, uri: str, numbers: list[int], versions: list[str | None]) -> Iterator[Image]:
        given = 0
        with ImageColumn(uri, self._column, self._unrestricted) as file:
            for group, positions in file.by_group(numbers):
                # All rows of a group have the same version, since it includes the group's start.
                if versions[given] in {None, file.version(group)}:
                    yield from padded(self._read_group(file, uri, group, positions), len(positions))
                else:
                    yield from repeat(changed(), len(positions))
                given += len(positions)

    def _read_group(self, file: ImageColumn, uri: str, group: int, positions: list[int]) -> Iterator[Image]:
        for data, path in file.read(group, positions):
            if data is not None:
                yield checked(data, self._max_bytes)
            elif path:  # Hugging Face datasets store only the path of an image that is not embedded
                yield read_image(resolve(uri, path), storage=self._storage, max_bytes=self._max_bytes)
            else:
                yield ImageError("read", "missing", "the image is null")
