"""The encoded bytes of a shard's images, read ahead of whoever decodes them. Runs in the read tasks of workers."""

from __future__ import annotations

import posixpath
import re
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice, repeat
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from actors.columns import FILE, SIZE, URI, VERSION
from actors.errors import ImageError
from actors.messages import read_error
from actors.reading.coalescing import SPAN_BYTES, Span, runs, spans
from actors.reading.container_versions import Containers, changed
from actors.reading.parquet_rows import ParquetRows
from actors.reading.shards import Layout
from actors.storage.retries import passing_kind
from actors.storage.store import TooLargeError
from actors.storage.uris import absolute, is_file, is_http, is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    import pyarrow as pa

    from actors.reading.shards import Shards
    from actors.storage.store import Storage

Image = bytes | ImageError
Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH_BYTES = 256 << 20  # a batch ends early here, so that large images cannot fill a worker's memory


class Fetcher:
    """Reads the images of ``shards``, whose layout says where their bytes lie.

    Args:
        shards: the inventory that the rows come from.
        storage: where the images are; the inventory may lie elsewhere. Its allowlist is for single images: files that
            hold many are named by the job itself.
        max_bytes: what is larger becomes an error, and is not read where its size is known.
        num_threads: requests to remote storage that are under way at a time.
    """

    def __init__(
        self,
        shards: Shards,
        storage: Storage,
        *,
        max_bytes: int | None = None,
        num_threads: int = 16,
    ) -> None:
        self._layout = shards.layout
        self._image_column = shards.image_column or ""
        self._storage = storage
        self._unrestricted = storage.unrestricted()
        self._containers = Containers(self._unrestricted)
        self._max_bytes = max_bytes
        self._num_threads = num_threads

    def batches(self, rows: pa.Table, batch_size: int) -> Generator[tuple[pa.Table, list[Image]]]:
        """Slices of ``rows`` in order, of at most ``batch_size`` rows, each with its images or their errors.

        The next batch is read while the caller works on the present one, in threads: whoever does not take all must
        close it. Nothing that is wrong with an image, nor with the file that holds it, raises.
        """
        with closing(self._cut(rows, batch_size)) as source, ThreadPoolExecutor(1) as ahead:
            pending = ahead.submit(next, source, None)
            while (batch := pending.result()) is not None:
                pending = ahead.submit(next, source, None)
                yield batch

    def _cut(self, rows: pa.Table, batch_size: int) -> Generator[tuple[pa.Table, list[Image]]]:
        start, num_bytes = 0, 0
        held: list[Image] = []
        with ThreadPoolExecutor(self._num_threads) as pool, closing(self._images(rows, pool)) as images:
            for image in images:
                held.append(image)
                num_bytes += len(image) if isinstance(image, bytes) else 0
                if len(held) == batch_size or num_bytes >= BATCH_BYTES:
                    yield rows.slice(start, len(held)), held
                    start, num_bytes, held = start + len(held), 0, []
        if held:
            yield rows.slice(start, len(held)), held

    def _images(self, rows: pa.Table, pool: ThreadPoolExecutor) -> Generator[Image]:
        if self._layout is Layout.ROWS:
            versions = iter(rows[VERSION].to_pylist())
            for uri, numbers in runs(rows):
                listed = list(islice(versions, len(numbers)))
                yield from _complete(self._read_parquet(uri, numbers, listed), len(numbers))
        elif self._layout is Layout.FILES:
            places = zip(rows[URI].to_pylist(), rows[SIZE].to_pylist(), strict=True)
            yield from self._in_order(self._read_file, places, rows[URI], pool)
        else:
            deque(self._in_order(self._containers.look, self._containers.unknown(rows), rows[FILE], pool), maxlen=0)
            for images in self._in_order(self._read_span, spans(rows), rows[FILE], pool):
                yield from images

    def _in_order(
        self, read: Callable[[Item], Result], items: Iterable[Item], uris: pa.ChunkedArray, pool: ThreadPoolExecutor
    ) -> Iterator[Result]:
        # Local files are read one by one: threads only slow down what the page cache holds.
        if any(uri is not None and is_remote(uri) for uri in uris.unique().to_pylist()):
            return _concurrently(read, items, pool, self._num_threads)
        return map(read, items)

    def _read_file(self, place: tuple[str, int | None]) -> Image:
        uri, size = place
        return read_image(uri, storage=self._storage, max_bytes=self._max_bytes, size=size)

    def _read_span(self, span: Span) -> list[Image]:
        if span.size > SPAN_BYTES and self._is_too_large(span.size):  # one member alone
            return [_too_large(span.size, self._max_bytes)]
        if problem := self._containers.problem(span.uri):
            return [problem] * len(span.members)
        try:
            data = self._unrestricted.read_ranges(span.uri, [span.start], [span.size])[0]
        except Exception as error:  # noqa: BLE001  the per-image guard
            if len(span.members) == 1 or _is_of_the_file(error):
                return [read_error(error)] * len(span.members)
            parts = [Span(span.uri, offset, size, [(offset, size)]) for offset, size in span.members]
            return [image for part in parts for image in self._read_span(part)]
        return [self._member(data, offset - span.start, size) for offset, size in span.members]

    def _member(self, data: bytes, start: int, size: int) -> Image:
        image = data[start : start + size]
        if len(image) < size:
            return ImageError("read", "truncated", f"the file ends after {len(image)} of the {size} bytes")
        return self._checked(image)

    def _read_parquet(self, uri: str, numbers: list[int], versions: list[str | None]) -> Iterator[Image]:
        given = 0
        with ParquetRows(uri, self._image_column, self._unrestricted) as file:
            for group, positions in file.by_group(numbers):
                # A version tells where its row group starts too, so that all rows of a group have the same one.
                if versions[given] in {None, file.version(group)}:
                    yield from _complete(self._read_group(file, uri, group, positions), len(positions))
                else:
                    yield from repeat(changed(), len(positions))
                given += len(positions)

    def _read_group(self, file: ParquetRows, uri: str, group: int, positions: list[int]) -> Iterator[Image]:
        for data, path in file.read(group, positions):
            if data is not None:
                yield self._checked(data)
            elif path:
                yield self._read_file((beside(uri, path), None))
            else:
                yield ImageError("read", "missing", "the image is null")

    def _checked(self, image: bytes) -> Image:
        if self._is_too_large(len(image)):
            return _too_large(len(image), self._max_bytes)
        return image or ImageError("read", "empty", "there are no bytes")

    def _is_too_large(self, size: int) -> bool:
        return self._max_bytes is not None and size > self._max_bytes


def read_image(
    uri: str, *, storage: Storage, max_bytes: int | None = None, size: int | None = None
) -> bytes | ImageError:
    """The bytes of one image, or an error of the stage ``read``. Never raises for what is wrong with the image.

    Args:
        uri: a local path, or a URI of any kind that ``storage`` knows.
        storage: where to read.
        max_bytes: what is larger is an error.
        size: in bytes, where it is known before.
    """
    if not uri:
        return ImageError("read", "missing_uri", "the row has no URI")
    try:
        if size is not None and max_bytes is not None and size > max_bytes:
            return _too_large(size, max_bytes)
        return storage.read(uri, max_bytes=max_bytes) or ImageError("read", "empty", "there are no bytes")
    except Exception as error:  # noqa: BLE001  the per-image guard
        return read_error(error)


def beside(file: str, name: str) -> str:
    """The URI that ``name`` means where it stands in ``file``: a relative one starts at the file's folder."""
    if name.startswith("/") or is_file(name) or _SCHEME.match(name):
        return name
    if name.startswith("~/") and not is_remote(file):  # as dataset.path takes it
        return absolute(name)
    if is_file(file):  # percent-encoded
        name = quote(name)
    folder = (file.partition("?")[0] if is_http(file) else file).rpartition("/")[0]
    path = f"{folder}/{name}"
    if is_remote(file) and _DOTS.search(name):  # of a local path the system resolves dots, and links before them
        scheme, _, rest = path.partition("://")
        host, _, key = rest.partition("/")
        return f"{scheme}://{host}{posixpath.normpath(f'/{key}')}"
    return path


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DOTS = re.compile(r"(^|/)\.{1,2}/")


def _too_large(size: int, limit: int | None) -> ImageError:
    return read_error(TooLargeError(f"{size} bytes, more than the limit of {limit}"))


def _is_of_the_file(error: Exception) -> bool:
    """Whether an error would be the same for each part of the file, unlike that of a bad sector."""
    return isinstance(error, FileNotFoundError | PermissionError) or passing_kind(error) not in {None, "io_error"}


def _concurrently(
    read: Callable[[Item], Result], items: Iterable[Item], pool: ThreadPoolExecutor, num_threads: int
) -> Iterator[Result]:
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(read, item))
            if len(pending) == num_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _complete(images: Iterator[Image], count: int) -> Iterator[Image]:
    """``images``, and from an exception on its error for each that is left, so that there are ``count``."""
    given = 0
    try:
        for image in images:
            given += 1
            yield image
        if given < count:
            raise EOFError("the file ends early")  # noqa: TRY301
    except Exception as error:  # noqa: BLE001  the per-image guard
        yield from [read_error(error)] * (count - given)
