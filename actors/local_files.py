"""Files of this machine, whatever their names: listed, opened and written whole. Used by `actors.storage` alone."""

from __future__ import annotations

import os
import stat
import uuid
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def walk(folder: bytes, above: tuple[tuple[int, int], ...] = ()) -> Iterator[tuple[str, int | None, str | None]]:
    """URI, size in bytes and version of every file below ``folder``, links followed, a folder in itself entered once.

    A name that is not UTF-8 is given as a percent-encoded ``file://`` URI. A dangling link has no size and no version.
    """
    here = os.stat(folder)  # noqa: PTH116  bytes paths
    identity = (here.st_dev, here.st_ino)
    if identity in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_folder(entry):
                yield from walk(entry.path, (*above, identity))
            else:
                yield describe(entry.path)


def describe(path: bytes) -> tuple[str, int | None, str | None]:
    """URI, size in bytes and version of one file."""
    try:
        status = os.stat(path)  # noqa: PTH116  bytes paths
    except OSError:  # a dangling link is listed all the same: reading it then says what is wrong
        return _uri(path), None, None
    return _uri(path), status.st_size, f"{status.st_size}-{status.st_mtime_ns}"


def open_regular(path: bytes) -> BinaryIO:
    """Opens a file without waiting, so that a named pipe or a device cannot hold a worker: they raise OSError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


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
