"""Whole objects by URI: local paths, S3, GCS, Azure and HTTP behind one interface. Used on driver and workers.

Local files go through `os` (it reads every name that the file system allows), all else through obstore.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import obstore
import pyarrow as pa
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    InvalidPathError,
    UnknownConfigurationKeyError,
)
from obstore.store import from_url

from actors.errors import JobError
from actors.local_files import open_regular, walk, write_whole
from actors.remote_file import RemoteFile
from actors.uris import is_remote, local_path, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


# A listed object. version changes when the content does: an etag, or size and modification time.
LISTING_SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("version", pa.string()),
    ]
)

LISTING_ROWS = 1000  # an S3 page; what a listing holds at a time


class TooLargeError(OSError):
    """The object has more bytes than the caller allows."""


class Storage:
    """Reads, lists and writes objects. Cheap to pickle: clients open on first use in each process.

    Errors are Python's own: FileNotFoundError, PermissionError, FileExistsError, `TooLargeError`; else OSError,
    or obstore's GenericError when a server cannot be reached.

    Args:
        options: obstore's settings for stores and clients, such as ``endpoint``, ``region``, ``access_key_id``
            or ``allow_http``. What is not given is taken from the environment, as the cloud's own tools do.
    """

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        self.options = dict(options or {})
        self._stores: dict[str, Any] = {}

    def __reduce__(self) -> tuple[type[Storage], tuple[dict[str, str]]]:
        return (Storage, (self.options,))

    def list(self, folder: str) -> Iterator[pa.RecordBatch]:
        """Every file below ``folder``, at any depth, in batches of `LISTING_SCHEMA`; no order is promised.

        Local symbolic links are followed, and a folder inside itself is entered once. A name that is not UTF-8
        is given as a percent-encoded ``file://`` URI.
        """
        if is_remote(folder):
            return self._list_remote(folder)
        return _batches(walk(local_path(folder)))

    def kind(self, uri: str) -> str | None:
        """``file``, ``folder``, or None where there is nothing (in object stores: no object below it)."""
        if not is_remote(uri):
            path = local_path(uri)
            if os.path.isdir(path):  # noqa: PTH112  bytes paths
                return "folder"
            return "file" if os.path.lexists(path) else None
        if split(uri)[1] or "?" in uri:  # the root of a bucket is no object
            try:
                self.size(uri)
            except FileNotFoundError:
                pass
            else:
                return "file"
        is_http = uri.startswith(("http://", "https://"))
        return None if is_http or next(self.list(uri), None) is None else "folder"

    def size(self, uri: str) -> int:
        """Size of one object in bytes."""
        if not is_remote(uri):
            return os.stat(local_path(uri)).st_size  # noqa: PTH116  bytes paths
        store, key = self._locate(uri)
        return int(obstore.head(store, key)["size"])

    def read(self, uri: str, *, max_bytes: int | None = None) -> bytes:
        """One whole object. Raises `TooLargeError` before it reads more than ``max_bytes``."""
        if not is_remote(uri):
            return _read_local(local_path(uri), max_bytes)
        store, key = self._locate(uri)
        result = obstore.get(store, key)
        _check_size(result.meta["size"], max_bytes)
        return bytes(result.bytes())

    def read_ranges(self, uri: str, starts: Sequence[int], sizes: Sequence[int]) -> Sequence[bytes]:
        """Byte ranges of one object, in the order asked; fewer bytes, or none, where the object ends early."""
        if not is_remote(uri):
            return _read_local_ranges(local_path(uri), starts, sizes)
        store, key = self._locate(uri)
        return [_get_range(store, key, start, size) for start, size in zip(starts, sizes, strict=True)]

    def open(self, uri: str) -> BinaryIO:
        """A seekable binary file for reading; of a remote object only what is read is fetched."""
        if not is_remote(uri):
            return open(local_path(uri), "rb")  # noqa: PTH123  bytes paths
        raw = RemoteFile(*self._locate(uri))
        return cast("BinaryIO", io.BufferedReader(raw, buffer_size=_READ_AHEAD_BYTES))

    def write(self, uri: str, data: bytes | memoryview, *, create: bool = False) -> None:
        """Puts one object, whole or not at all. With ``create``, raises FileExistsError where one stands."""
        if not is_remote(uri):
            write_whole(Path(os.fsdecode(local_path(uri))), data, create=create)
            return
        store, key = self._locate(uri)
        try:
            # Arrow's buffers are signed bytes, which obstore does not take.
            obstore.put(store, key, memoryview(data).cast("B"), mode="create" if create else "overwrite")
        except AlreadyExistsError as error:
            raise FileExistsError(uri) from error

    def delete(self, uris: Iterable[str]) -> None:
        """Removes objects; one that is gone already is no error."""
        for uri in uris:
            if is_remote(uri):
                obstore.delete(*self._locate(uri))
            else:
                Path(os.fsdecode(local_path(uri))).unlink(missing_ok=True)

    def _list_remote(self, folder: str) -> Iterator[pa.RecordBatch]:
        root, _ = split(folder)
        store, prefix = self._locate(folder)
        chunks = iter(obstore.list(store, prefix or None, chunk_size=LISTING_ROWS, return_arrow=True))
        while (chunk := _next_chunk(chunks, folder)) is not None:
            batch = pa.record_batch(chunk)
            paths, etags = batch["path"].to_pylist(), batch["e_tag"].to_pylist()
            modified = batch["last_modified"].to_pylist()
            versions = [etag or str(when) for etag, when in zip(etags, modified, strict=True)]
            uris = [f"{root}/{path}" for path in paths]
            sizes = batch["size"].cast(pa.int64())
            yield pa.RecordBatch.from_arrays(
                [pa.array(uris, pa.string()), sizes, pa.array(versions, pa.string())], schema=LISTING_SCHEMA
            )

    def _locate(self, uri: str) -> tuple[Any, str]:
        """The client for the root of ``uri``, and the path below that root."""
        root, key = split(uri)
        if "?" in root:  # one signed URL of perhaps millions
            return self._connect(root), key
        if root not in self._stores:
            self._stores[root] = self._connect(root)
        return self._stores[root], key

    def _connect(self, root: str) -> Any:
        client = {key: _parse(self.options[key]) for key in self.options if key in _CLIENT_OPTIONS}
        config = {key: value for key, value in self.options.items() if key not in _CLIENT_OPTIONS}
        is_http = root.startswith(("http://", "https://"))
        if root.startswith("http://"):
            client["allow_http"] = True
        try:
            return from_url(
                root,
                config=None if is_http else cast("Any", config),
                client_options=cast("Any", client),
                retry_config=_RETRIES,
            )
        except (UnknownConfigurationKeyError, GenericError, ValueError, TypeError) as error:
            raise JobError(
                f"{root}: {str(error).splitlines()[0]}",
                cure="use s3://, gs://, az:// or https:// with the storage_options that obstore documents",
            ) from None


_READ_AHEAD_BYTES = 1 << 20
_RETRIES: Any = {"max_retries": 5}
_CLIENT_OPTIONS = frozenset(
    [
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_url",
        "proxy_ca_certificate",
        "proxy_excludes",
        "root_certificate",
        "timeout",
        "read_timeout",
        "user_agent",
    ]
)


def _get_range(store: Any, key: str, start: int, size: int) -> bytes:
    # One range at a time: obstore.get_ranges panics where a range lies behind the end of the object.
    if not size:
        return b""
    try:
        return bytes(obstore.get_range(store, key, start=start, length=size))
    except GenericError:
        if start < int(obstore.head(store, key)["size"]):
            raise
        return b""


def _next_chunk(chunks: Iterator[Any], folder: str) -> Any:
    try:
        return next(chunks, None)
    except InvalidPathError as error:
        raise JobError(
            f"{folder}: {str(error).splitlines()[0]}",
            cure="rename that object, or list the other images in a manifest (+dataset=manifest)",
        ) from None


def _parse(option: str) -> object:
    return {"true": True, "false": False}.get(str(option).lower(), option)


def _check_size(size: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        raise TooLargeError(f"{size} bytes, more than the limit of {max_bytes}")


def _read_local(path: bytes, max_bytes: int | None) -> bytes:
    with open_regular(path) as file:
        _check_size(os.fstat(file.fileno()).st_size, max_bytes)
        return file.read()


def _read_local_ranges(path: bytes, starts: Sequence[int], sizes: Sequence[int]) -> Sequence[bytes]:
    with open_regular(path) as file:
        parts = []
        for start, size in zip(starts, sizes, strict=True):
            file.seek(start)
            parts.append(file.read(size))
        return parts


def _batches(rows: Iterator[tuple[str, int | None, str | None]]) -> Iterator[pa.RecordBatch]:
    held: list[tuple[str, int | None, str | None]] = []
    for row in rows:
        held.append(row)
        if len(held) == LISTING_ROWS:
            yield _batch(held)
            held = []
    if held:
        yield _batch(held)


def _batch(rows: Sequence[tuple[str, int | None, str | None]]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(list(values), field.type) for values, field in zip(columns, LISTING_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=LISTING_SCHEMA)
