"""Fetches the encoded images of a shard ahead of decoding. Runs in the read tasks of workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from actors.reading.image_bytes import read_image
from actors.reading.layouts import READERS
from actors.reading.ordered_requests import CONCURRENCY, OrderedRequests

if TYPE_CHECKING:
    from collections.abc import Generator

    import pyarrow as pa

    from actors.reading.image_bytes import Image
    from actors.reading.shards import Shards
    from actors.storage.store import Storage

__all__ = ["BATCH_BYTES", "Fetcher", "read_image"]

BATCH_BYTES = 256 << 20  # a batch ends early at this size, so that large images cannot fill a worker's memory


class Fetcher:
    """Reads images of an inventory with its layout's reader.

    Args:
        shards: inventory that contains the rows.
        storage: storage of the images, which may differ from the inventory's.
        max_bytes: size limit of an image in bytes. Larger ones become errors, and are not requested if their size is
            known.
        concurrency: maximum number of requests in flight; see `OrderedRequests`.
        batch_bytes: size in bytes at which a batch ends early; default: `BATCH_BYTES`.
    """

    def __init__(
        self,
        shards: Shards,
        storage: Storage,
        *,
        max_bytes: int | None = None,
        concurrency: int = CONCURRENCY,
        batch_bytes: int | None = None,
    ) -> None:
        self._reader = READERS[shards.layout](shards, storage, max_bytes)
        self._concurrency = concurrency
        self._batch_bytes = batch_bytes or BATCH_BYTES

    def batches(self, rows: pa.Table, batch_size: int) -> Generator[tuple[pa.Table, list[Image]]]:
        """Yields slices of ``rows`` in order, of at most ``batch_size`` rows, with their images or errors.

        Threads read the next batch while the caller processes the current one; a caller that stops early must close the
        generator. Never raises for a problem with an image or its file.
        """
        with closing(self._cut(rows, batch_size)) as source, ThreadPoolExecutor(1) as ahead:
            # None marks the end: a StopIteration from a future would be a RuntimeError in this generator (PEP 479).
            pending = ahead.submit(next, source, None)
            while (batch := pending.result()) is not None:
                pending = ahead.submit(next, source, None)
                yield batch

    def _cut(self, rows: pa.Table, batch_size: int) -> Generator[tuple[pa.Table, list[Image]]]:
        start, num_bytes = 0, 0
        batch: list[Image] = []
        with ThreadPoolExecutor(self._concurrency) as pool, closing(self._images(rows, pool)) as images:
            for image in images:
                batch.append(image)
                num_bytes += len(image) if isinstance(image, bytes) else 0
                if len(batch) == batch_size or num_bytes >= self._batch_bytes:
                    yield rows.slice(start, len(batch)), batch
                    start, num_bytes, batch = start + len(batch), 0, []
        if batch:
            yield rows.slice(start, len(batch)), batch

    # A generator, since not all iterators of readers can be closed: map objects cannot.
    def _images(self, rows: pa.Table, pool: ThreadPoolExecutor) -> Generator[Image]:
        yield from self._reader.images(rows, OrderedRequests(pool, self._concurrency))
