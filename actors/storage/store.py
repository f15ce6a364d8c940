"""Storage of objects by URI: local paths, S3, GCS, Azure and HTTP behind one interface. Used on driver and workers.

Local files go through `os`, which accepts every name that the file system allows; http(s) URLs through `http_store`,
which sends none of the job's credentials; everything else through obstore.
"""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import pyarrow as pa

from actors.errors import JobError
from actors.fault_injection import fault
from actors.storage.local_files import (
    LocalFile,
    describe_file,
    open_regular,
    subfolders,
    walk,
    write_staged,
    write_whole,
)
from actors.storage.remote_file import RemoteFile
from actors.storage.remote_store import RemoteStore
from actors.storage.retries import Retry
from actors.storage.uris import is_http, is_remote, join, local_path, redacted, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from actors.storage.allowlist import Allowlist
    from actors.storage.http_store import HttpStore


# A listed object. version changes with the content: an ETag, or size and modification time.
LISTING_SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("version", pa.string()),
    ]
)

LISTING_ROWS = 1000  # per batch of a listing: the size of an S3 page


class TooLargeError(OSError):
    """The object exceeds the caller's limit."""


class Storage:
    """Reads, lists and writes objects. Cheap to pickle: clients open on first use in each process.

    Errors are Python's own: FileNotFoundError, PermissionError, FileExistsError, `TooLargeError`; else OSError,
    or obstore's GenericError if a server cannot be reached. Transient errors are retried first.

    Args:
        options: obstore's settings for stores and clients, such as ``endpoint``, ``region``, ``access_key_id`` or
            ``allow_http``. Others come from the environment, as in the cloud providers' tools.
        retry: policy for every request.
        allow: allowlist for reading and describing single objects; all others raise `NotAllowedError`. None allows
            everything.
    """

    def __init__(
        self, options: Mapping[str, str] | None = None, retry: Retry | None = None, allow: Allowlist | None = None
    ) -> None:
        self.options = dict(options or {})
        self.retry = retry or Retry()
        self.allow = allow
        self._stores: dict[str, RemoteStore] = {}
        self._http: HttpStore | None = None

    # Excludes the clients, which hold connections and threads.
    def __reduce__(self) -> tuple[type[Storage], tuple[dict[str, str], Retry, Allowlist | None]]:
        return (Storage, (self.options, self.retry, self.allow))

    def with_retry(self, retry: Retry) -> Storage:
        """Returns the same storage with another retry policy."""
        return type(self)(self.options, retry, self.allow)

    def unrestricted(self) -> Storage:
        """Returns the same storage without the allowlist, for objects that the job itself names."""
        return self if self.allow is None else type(self)(self.options, self.retry)

    def list(
        self, folder: str, on_unreadable: Callable[[str, OSError], None] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yields every file below ``folder``, at any depth, in batches of `LISTING_SCHEMA` and in any order.

        Follows local symbolic links, and enters a folder inside itself once. Yields a name that is not UTF-8 as a
        percent-encoded ``file://`` URI. Local folders that cannot be entered are passed to ``on_unreadable``; without
        it, the first one's error is raised.
        """
        if not is_remote(folder):
            yield from _batches(walk(local_path(folder), on_unreadable))
            return
        root, _ = split(folder)
        store, prefix = self._below(folder)
        for page in store.pages(prefix, LISTING_ROWS):
            yield _batch([(f"{root}/{key}", size, version) for key, size, version in page])

    def children(self, folder: str) -> Sequence[str]:
        """Returns the sorted URIs of the folders in ``folder``, without reading them; empty if it does not exist."""
        if not is_remote(folder):
            return sorted(self.retry.call(partial(subfolders, local_path(folder))))
        root, _ = split(folder)
        store, prefix = self._below(folder)
        return sorted(join(root, child) for child in store.children(prefix))

    def kind(self, uri: str) -> str | None:
        """Returns ``file``, ``folder``, or None if absent; in object stores, a folder has at least one object."""
        if not is_remote(uri):
            path = self.local_path(uri)
            if os.path.isdir(path):  # noqa: PTH112  bytes paths
                return "folder"
            return "file" if os.path.lexists(path) else None  # includes dangling links, as in a listing
        if is_http(uri) or split(uri)[1]:  # the root of a bucket is not an object
            try:
                self.describe(uri)
            except FileNotFoundError:
                pass
            else:
                return "file"
        return None if is_http(uri) or next(self.list(uri), None) is None else "folder"

    def describe(self, uri: str) -> tuple[int, str | None]:
        """Returns the size in bytes and version of an object, as in a listing; the version is None if unknown."""
        if not is_remote(uri):
            return self.retry.call(partial(describe_file, self.local_path(uri)))
        store, key = self._locate(uri)
        return store.describe(key)

    def modified(self, uri: str) -> datetime:
        """Returns the modification time of an object, by its store's clock; UTC."""
        if not is_remote(uri):
            path = self.local_path(uri)
            return datetime.fromtimestamp(self.retry.call(partial(os.stat, path)).st_mtime, UTC)
        store, key = self._below(uri)
        return store.modified(key)

    def local_path(self, uri: str) -> bytes:
        """Returns the path of a local URI. Raises `NotAllowedError` if the allowlist does not include its target."""
        return local_path(uri) if self.allow is None else self.allow.real_path(uri)

    def size(self, uri: str) -> int:
        """Returns the size of an object in bytes."""
        return self.describe(uri)[0]

    def read(self, uri: str, *, max_bytes: int | None = None) -> bytes:
        """Reads a whole object. Raises `TooLargeError` instead of reading more than ``max_bytes``."""
        if not is_remote(uri):
            return self.retry.call(partial(_read_local, self.local_path(uri), max_bytes))
        store, key = self._locate(uri)
        return store.read(key, partial(_check_size, max_bytes=max_bytes))

    def read_ranges(self, uri: str, starts: Sequence[int], sizes: Sequence[int]) -> Sequence[bytes]:
        """Reads byte ranges of an object, in the given order; they are shorter, or empty, if the object ends early."""
        if not is_remote(uri):
            return self.retry.call(partial(_read_local_ranges, self.local_path(uri), starts, sizes))
        store, key = self._locate(uri)
        # One at a time: obstore.get_ranges panics on a range beyond the end of the object.
        return [store.read_range(key, start, size) for start, size in zip(starts, sizes, strict=True)]

    def open(self, uri: str) -> BinaryIO:
        """Opens a seekable binary file for reading; fetches only the ranges read from a remote object."""
        raw: io.RawIOBase
        if not is_remote(uri):
            raw = self.retry.call(partial(LocalFile, self.local_path(uri), self.retry))
        else:
            store, key = self._locate(uri)
            raw = RemoteFile(partial(store.read_range, key), store.describe(key)[0])
        return cast("BinaryIO", io.BufferedReader(raw, buffer_size=_READ_AHEAD_BYTES))

    def write(self, uri: str, data: bytes | memoryview, *, create: bool = False) -> None:
        """Puts an object atomically. With ``create``, raises FileExistsError if it exists.

        The existing object may be the caller's own, if a response was lost. A caller that must know writes its name
        into the object and reads it back.
        """
        if not is_remote(uri):
            path = Path(os.fsdecode(local_path(uri)))
            self.retry.call(partial(write_whole, path, data, create=create))
            return
        store, key = self._below(uri)
        store.put(key, data, create=create)

    def write_part(self, uri: str, data: bytes | memoryview, staging: str | None) -> None:
        """Puts an object like `write`; on a local file system, stages it in the folder ``staging`` first.

        Raises:
            StagingEndedError: the folder ``staging`` was removed; nothing was written.
        """
        if staging is None or is_remote(uri):
            fault("write.staged")
            self.write(uri, data)
            return
        path, folder = (Path(os.fsdecode(local_path(place))) for place in (uri, staging))
        self.retry.call(partial(write_staged, path, data, folder))

    def delete(self, uris: Iterable[str]) -> None:
        """Deletes the objects that exist."""
        for uri in uris:
            if is_remote(uri):
                store, key = self._below(uri)
                store.delete(key)
            else:
                Path(os.fsdecode(local_path(uri))).unlink(missing_ok=True)

    def _locate(self, uri: str) -> tuple[RemoteStore | HttpStore, str]:
        """Returns the client that reads ``uri``, and the object's key in it."""
        if not is_http(uri):
            if self.allow is not None:
                self.allow.check(uri)
            return self._below(uri)
        if self._http is None:
            from actors.storage.http_store import HttpStore  # noqa: PLC0415  aiohttp takes 0.1 s in each process

            self._http = HttpStore(self.options, self.retry, self.allow)
        return self._http, uri

    def _below(self, uri: str) -> tuple[RemoteStore, str]:
        """Returns the client for the root of ``uri`` in an object store, and the path below that root."""
        if is_http(uri):
            raise JobError(
                f"{redacted(uri)}: a web server has no folders, and nothing can be written to it",
                fix="name single files by http(s)://, or use s3://, gs:// or az:// with dataset.storage_options",
            )
        root, key = split(uri)
        if root not in self._stores:
            self._stores[root] = RemoteStore(root, self.options, self.retry)
        return self._stores[root], key


_READ_AHEAD_BYTES = 1 << 20  # buffer of an open file: each remote read costs a request


def _check_size(size: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        raise TooLargeError(f"{size} bytes, more than the limit of {max_bytes}")


def _read_local(path: bytes, max_bytes: int | None) -> bytes:
    with open_regular(path) as file:
        _check_size(os.fstat(file.fileno()).st_size, max_bytes)
        return file.read()


def _read_local_ranges(path: bytes, starts: Sequence[int], sizes: Sequence[int]) -> Sequence[bytes]:
    with open_regular(path) as raw, io.BufferedReader(raw) as file:  # a raw file may return fewer bytes than it has
        parts = []
        for start, size in zip(starts, sizes, strict=True):
            file.seek(start)
            parts.append(file.read(size))
        return parts


def _batches(rows: Iterator[tuple[str, int | None, str | None]]) -> Iterator[pa.RecordBatch]:
    pending: list[tuple[str, int | None, str | None]] = []
    for row in rows:
        pending.append(row)
        if len(pending) == LISTING_ROWS:
            yield _batch(pending)
            pending = []
    if pending:
        yield _batch(pending)


def _batch(rows: Sequence[tuple[str, int | None, str | None]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(list(values), field.type) for values, field in zip(columns, LISTING_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=LISTING_SCHEMA)
