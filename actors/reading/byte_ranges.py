"""Images that are byte ranges of larger files, such as tar members. Runs in the read tasks of workers."""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

from actors.columns import FILE
from actors.errors import ImageError
from actors.messages import read_error
from actors.reading.coalescing import SPAN_BYTES, Span, spans
from actors.reading.container_versions import Containers
from actors.reading.image_bytes import checked, is_too_large, too_large
from actors.storage.retries import transient_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from actors.reading.image_bytes import Image
    from actors.reading.ordered_requests import OrderedRequests
    from actors.reading.shards import Shards
    from actors.storage.store import Storage


class ByteRanges:
    """The `LayoutReader` of `Layout.RANGES`: neighbours share a request.

    Compares each file once with its version in the inventory. The allowlist of ``storage`` does not apply: the job
    itself names the files.
    """

    def __init__(self, _: Shards, storage: Storage, max_bytes: int | None) -> None:
        self._storage = storage.unrestricted()
        self._containers = Containers(self._storage)
        self._max_bytes = max_bytes

    def images(self, rows: pa.Table, requests: OrderedRequests) -> Iterator[Image]:
        files = rows[FILE]
        # Compares all files before the first range: a changed file must not yield a single image.
        deque(requests.map(self._containers.compare, self._containers.unseen(rows), uris=files), maxlen=0)
        return chain.from_iterable(requests.map(self._read, spans(rows), uris=files))

    def _read(self, span: Span) -> list[Image]:
        if span.size > SPAN_BYTES and is_too_large(span.size, self._max_bytes):  # a single member
            return [too_large(span.size, self._max_bytes)]
        if problem := self._containers.problem(span.uri):
            return [problem] * len(span.members)
        try:
            data = self._storage.read_ranges(span.uri, [span.start], [span.size])[0]
        except Exception as error:  # noqa: BLE001  the per-image guard
            if len(span.members) == 1 or _affects_the_file(error):
                return [read_error(error)] * len(span.members)
            # One by one, so that a bad sector costs only the image on it.
            members = (Span(span.uri, offset, size, [(offset, size)]) for offset, size in span.members)
            return [image for member in members for image in self._read(member)]
        return [self._member(data, offset - span.start, size) for offset, size in span.members]

    def _member(self, data: bytes, start: int, size: int) -> Image:
        image = data[start : start + size]
        if len(image) < size:
            return ImageError("read", "truncated", f"the file ends after {len(image)} of the {size} bytes")
        return checked(image, self._max_bytes)


def _affects_the_file(error: Exception) -> bool:
    """Returns True for an error that any part of the file would raise, unlike a bad sector."""
    return isinstance(error, FileNotFoundError | PermissionError) or transient_kind(error) not in {None, "io_error"}
