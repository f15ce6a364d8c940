"""Files of this machine, whatever their names: listed, opened and written whole. Used by `store` alone."""

from __future__ import annotations

import io
import os
import re
import stat
import uuid
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from actors.fault_injection import fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer

    from actors.storage.retries import Retry


def walk(
    folder: bytes,
    on_unreadable: Callable[[str, OSError], None] | None = None,
    above: tuple[tuple[int, int], ...] = (),
) -> Iterator[tuple[str, int | None, str | None]]:
    """URI, size in bytes and version of every file below ``folder``, links followed, a folder in itself entered once.

    A name that is not UTF-8 is given as a percent-encoded ``file://`` URI. What is no regular file, such as a link to
    nowhere, has no size and no version. ``on_unreadable`` gets the URI of each folder below that cannot be entered.
    """
    try:
        here = os.stat(folder)  # noqa: PTH116  bytes paths
        entries = os.scandir(folder)
    except OSError as error:
        if on_unreadable is None or not above:
            raise
        on_unreadable(_uri(folder), error)
        return
    identity = (here.st_dev, here.st_ino)
    with entries:
        if identity in above:
            return
        for entry in entries:
            if _is_folder(entry):
                yield from walk(entry.path, on_unreadable, (*above, identity))
            else:
                yield describe(entry.path)


def describe(path: bytes) -> tuple[str, int | None, str | None]:
    """URI, size in bytes and version of one file."""
    try:
        status = os.stat(path)  # noqa: PTH116  bytes paths
    except OSError:  # listed all the same: reading it then says what is wrong
        return _uri(path), None, None
    if not stat.S_ISREG(status.st_mode):
        return _uri(path), None, None
    return _uri(path), *_size_and_version(status)


def oddity(path: bytes) -> str | None:
    """What there is in the place of a regular file: ``dangling link`` or ``special file``; None where there is one, or
    where that cannot be told.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  bytes paths
    except OSError:
        return "dangling link" if os.path.islink(path) else None  # noqa: PTH114  bytes paths
    return None if stat.S_ISREG(mode) else "special file"


def describe_file(path: bytes) -> tuple[int, str]:
    """Size in bytes and version of one file that is there."""
    return _size_and_version(os.stat(path))  # noqa: PTH116  bytes paths


def subfolders(folder: bytes) -> list[str]:
    """URIs of the folders in ``folder``; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return [_uri(entry.path) for entry in entries if _is_folder(entry)]
    except FileNotFoundError:
        return []


class LocalFile(io.FileIO):
    """A file for reading, to be wrapped in a buffer, whose reads are tried again."""

    def __init__(self, path: bytes, retry: Retry) -> None:
        super().__init__(path)
        self._retry = retry

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        return self._retry.call(partial(super().readinto, buffer))


def open_regular(path: bytes) -> io.FileIO:
    """Opens a file without waiting, so that a named pipe or a device cannot hold a worker: they raise OSError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return io.FileIO(descriptor)


STAGED_NAME = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
"""What `write_whole` calls a file that is not whole yet; what lies there when nobody writes is a leftover."""


class StagingEndedError(OSError):
    """The staging folder is gone: whoever removed it wants no more files from this writer."""


def write_whole(path: Path, data: bytes | memoryview, *, create: bool) -> None:
    """Writes a file that is there whole or not at all, and makes its folders.

    With ``create``, raises FileExistsError where one stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with staged.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if create:
            os.link(staged, path)
        else:
            staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def write_staged(path: Path, data: bytes | memoryview, staging: Path) -> None:
    """`write_whole`, but until the file is whole it lies in the folder ``staging``, which is not made here.

    Raises:
        StagingEndedError: ``staging`` is not there, or was removed meanwhile; nothing was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = staging / f"{path.name}.{uuid.uuid4().hex}"
    try:
        with staged.open("xb") as file:
            file.write(data)
            file.flush()
            fault("write.syncing")
            os.fsync(file.fileno())
        fault("write.staged")
        staged.replace(path)
    except FileNotFoundError as error:
        raise StagingEndedError(f"{staging} is gone; {path.name} was not written") from error
    finally:
        staged.unlink(missing_ok=True)


def _size_and_version(status: os.stat_result) -> tuple[int, str]:
    return status.st_size, f"{status.st_size}-{status.st_mtime_ns}"


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; reading it then says so
        return False


def _uri(path: bytes) -> str:
    try:
        return path.decode()
    except UnicodeDecodeError:
        return "file://" + quote(path)
