"""Concurrent requests with ordered results. Used by the layouts, in the read tasks of workers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from actors.storage.uris import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future, ThreadPoolExecutor

    import pyarrow as pa

CONCURRENCY = 16  # default of dataset.read_concurrency; a single connection would wait for each response in turn

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class OrderedRequests:
    """Sends requests through a thread pool, at most ``max_in_flight`` at a time."""

    pool: ThreadPoolExecutor
    max_in_flight: int

    def map(self, read: Callable[[Item], Result], items: Iterable[Item], *, uris: pa.ChunkedArray) -> Iterator[Result]:
        """Yields ``read(item)`` for each item, in order. ``uris`` names the files: local ones are read one by one,
        since threads slow down reads from the page cache.
        """
        if any(uri is not None and is_remote(uri) for uri in uris.unique().to_pylist()):
            return self._concurrently(read, items)
        return map(read, items)

    def _concurrently(self, read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(self.pool.submit(read, item))
                # In row order, although one slow response delays others: retries must yield the same blocks.
                if len(pending) == self.max_in_flight:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()  # running ones end with their request
