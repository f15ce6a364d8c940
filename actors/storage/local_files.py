"""Lists, opens and atomically writes local files, whatever their names. Used only by `store`."""

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
    """Yields URI, size in bytes and version of every file below ``folder``.

    Follows links, and enters a folder inside itself once. Yields a name that is not UTF-8 as a percent-encoded
    ``file://`` URI. Anything but a regular file, such as a dangling link, has no size and no version. Folders that
    cannot be entered are passed to ``on_unreadable``, except ``folder`` itself, whose error is raised.
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
    """Returns the URI, size in bytes and version of a file; the last two are None unless it is a regular file."""
    try:
        status = os.stat(path)  # noqa: PTH116  bytes paths
    except OSError:  # listed nevertheless: reading it reports the error
        return _uri(path), None, None
    if not stat.S_ISREG(status.st_mode):
        return _uri(path), None, None
    return _uri(path), *_size_and_version(status)


def oddity(path: bytes) -> str | None:
    """Returns ``dangling link`` or ``special file`` if ``path`` is one; None if not, or if that is unknown."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  bytes paths
    except OSError:
        return "dangling link" if os.path.islink(path) else None  # noqa: PTH114  bytes paths
    return None if stat.S_ISREG(mode) else "special file"


def describe_file(path: bytes) -> tuple[int, str]:
    """Returns the size in bytes and version of a file. Raises OSError if it does not exist."""
    return _size_and_version(os.stat(path))  # noqa: PTH116  bytes paths


def subfolders(folder: bytes) -> list[str]:
    """Returns the URIs of the folders in ``folder``; empty if ``folder`` does not exist."""
    try:
        with os.scandir(folder) as entries:
            return [_uri(entry.path) for entry in entries if _is_folder(entry)]
    except FileNotFoundError:
        return []


class LocalFile(io.FileIO):
    """A raw file that retries reads; wrap it in a buffer."""

    def __init__(self, path: bytes, retry: Retry) -> None:
        super().__init__(path)
        self._retry = retry

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        return self._retry.call(partial(super().readinto, buffer))


def open_regular(path: bytes) -> io.FileIO:
    """Opens a regular file; raises OSError for a named pipe or a device, which could block a worker."""
    # Without O_NONBLOCK, opening a named pipe would wait for a writer. Windows has neither.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return io.FileIO(descriptor)


# The dot hides them from readers of the folder, such as Arrow and Spark.
STAGED_NAME = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
"""Names of unfinished files of `write_whole`; a file without an active writer is a leftover."""


class StagingEndedError(OSError):
    """The staging folder was removed, which fences this writer."""


def write_whole(path: Path, data: bytes | memoryview, *, create: bool) -> None:
    """Writes a file atomically and durably, and creates its folders.

    With ``create``, raises FileExistsError if the file exists.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with staged.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # before the rename, or a crash could leave the name without the bytes
        if create:
            os.link(staged, path)  # fails if the name exists; a rename would replace it
        else:
            staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def write_staged(path: Path, data: bytes | memoryview, staging: Path) -> None:
    """Writes a file like `write_whole`, but stages it in the folder ``staging``, which must exist.

    Raises:
        StagingEndedError: ``staging`` does not exist or was removed; nothing was written.
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
        staged.replace(path)  # one system call: either the folder is gone, or the part is visible
    except FileNotFoundError as error:
        raise StagingEndedError(f"{staging} was removed; {path.name} was not written") from error
    finally:
        staged.unlink(missing_ok=True)


def _size_and_version(status: os.stat_result) -> tuple[int, str]:
    # Times alone may not differ: some file systems store whole seconds.
    return status.st_size, f"{status.st_size}-{status.st_mtime_ns}"


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; reading it reports the error
        return False


def _uri(path: bytes) -> str:
    try:
        return path.decode()
    except UnicodeDecodeError:
        return "file://" + quote(path)
