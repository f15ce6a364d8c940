"""The folder that a conversion writes. Locally it is made under another name and renamed once it is complete; in an
object store, `RECORD` says that it is complete.
"""

from __future__ import annotations

import json
import mmap
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line
from actors.storage.uris import is_remote, join, redacted
from actors.storage.whole_folders import path_of, replace_folder, staged_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from actors.storage.store import Storage

RECORD = "conversion.json"
"""File that tells a conversion from other folders, and how it was made."""


class Files(Protocol):
    """The files of a conversion in the making. Names are relative paths with slashes."""

    def open(self, name: str) -> BinaryIO:
        """Opens a new large file for writing. It is closed at the latest when the conversion ends."""
        ...

    def spool(self) -> BinaryIO:
        """Opens a file for text that is to be copied into another one; it never appears."""
        ...

    def put_all(self, files: Sequence[tuple[Iterable[str], bytes]]) -> list[str]:
        """Writes small files, each under the first of its names that is free; returns these names."""
        ...


def check_destination(uri: str, storage: Storage, output: str, *, overwrite: bool) -> None:
    """Raises `JobError` if nothing may be written to ``uri``: it is taken, or a part of the output that is read."""
    where = f"convert.path={redacted(uri)}"
    if Path(uri).suffix in _FILE_SUFFIXES:
        raise JobError(f"{where}: the name of a file", fix="give a folder, which gets the files and their record")
    for folder in ("rows", "errors", "runs"):
        if join(uri, "").startswith(join(output, folder, "")):
            raise JobError(f"{where}: lies among the rows of output.path", fix="give a folder of its own")
    try:
        kind = storage.kind(uri)
        is_taken = kind == "file" or (kind == "folder" and next(storage.list(uri), None) is not None)
        is_ours = kind == "folder" and storage.kind(join(uri, RECORD)) == "file"
    except (OSError, BaseError) as error:
        raise _unwritable(uri, error) from error
    if is_taken and not is_ours:
        raise JobError(f"{where}: contains files other than a conversion", fix="give a new or an empty folder")
    if is_taken and not overwrite:
        raise JobError(
            f"{where}: holds an earlier conversion", fix="give another folder, or set convert.overwrite=true"
        )


@contextmanager
def destination(uri: str, storage: Storage, record: Mapping[str, Any]) -> Iterator[Files]:
    """Publishes the files of the block at ``uri`` with ``record``, in place of an earlier conversion.

    If the block raises, nothing is left of a local folder. In an object store, what was written stays, with a `RECORD`
    that says so, until the next conversion to that place.

    Raises:
        JobError: ``uri`` cannot be written.
    """
    try:
        with staged_folder(uri, "convert") as folder:
            yield from (_uploading(folder, uri, storage, record) if is_remote(uri) else _renaming(folder, uri, record))
    except (OSError, BaseError) as error:
        raise _unwritable(uri, error) from error


class LocalFiles:
    """Files in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened = ExitStack()

    def open(self, name: str) -> BinaryIO:
        return self._opened.enter_context(self._path(name).open("xb"))

    def spool(self) -> BinaryIO:
        return cast("BinaryIO", self._opened.enter_context(tempfile.TemporaryFile(dir=self._folder)))

    def close(self) -> None:
        """Closes the large files."""
        self._opened.close()

    def put_all(self, files: Sequence[tuple[Iterable[str], bytes]]) -> list[str]:
        return [_first_free(self._put, names, data) for names, data in files]

    def _put(self, name: str, data: bytes) -> None:
        with self._path(name).open("xb") as file:
            file.write(data)

    def _path(self, name: str) -> Path:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class RemoteFiles(LocalFiles):
    """Files in an object store. Large ones are gathered in the local ``folder`` until `upload`."""

    def __init__(self, folder: Path, uri: str, storage: Storage) -> None:
        super().__init__(folder)
        self._uri, self._storage = uri, storage

    def put_all(self, files: Sequence[tuple[Iterable[str], bytes]]) -> list[str]:
        wanted = [(list(names), data) for names, data in files]
        first = {names[0]: place for place, (names, _) in reversed([*enumerate(wanted)])}
        chosen: dict[int, str] = {}
        with ThreadPoolExecutor(_NUM_PUTS) as pool:
            places = sorted(first.values())
            chosen.update(zip(places, pool.map(lambda at: _first_free(self._put, *wanted[at]), places), strict=True))
        # Of two files that want one name, the first one gets it, in every run.
        for place in sorted({*range(len(wanted))} - {*chosen}):
            chosen[place] = _first_free(self._put, *wanted[place])
        return [chosen[place] for place in range(len(wanted))]

    def upload(self) -> None:
        """Puts the large files, of which the system keeps in memory only what it likes."""
        self.close()
        for path in sorted(path for path in self._folder.rglob("*") if path.is_file()):
            target = join(self._uri, path.relative_to(self._folder).as_posix())
            if not path.stat().st_size:  # nothing to map
                self._storage.write(target, b"")
                continue
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                view = memoryview(data)
                try:
                    self._storage.write(target, view)
                finally:
                    view.release()

    def _put(self, name: str, data: bytes) -> None:
        self._storage.write(join(self._uri, name), data, create=True)


_FILE_SUFFIXES = frozenset({".csv", ".json", ".jsonl", ".parquet", ".txt", ".yaml", ".zip"})
_NUM_PUTS = 16  # small objects written at once


def _renaming(folder: Path, uri: str, record: Mapping[str, Any]) -> Iterator[Files]:
    with closing(LocalFiles(folder)) as files:
        yield files
    (folder / RECORD).write_text(_text(record, "done"), encoding="utf-8")
    replace_folder(folder, path_of(uri))


def _uploading(folder: Path, uri: str, storage: Storage, record: Mapping[str, Any]) -> Iterator[Files]:
    place = join(uri, RECORD)
    storage.write(place, _text(record, "unfinished").encode())
    for batch in storage.list(uri):
        storage.delete(found for found in batch["uri"].to_pylist() if found != place)
    with closing(RemoteFiles(folder, uri, storage)) as files:
        yield files
        files.upload()
    storage.write(place, _text(record, "done").encode())


def _first_free(put: Callable[[str, bytes], None], names: Iterable[str], data: bytes) -> str:
    for name in names:
        try:
            put(name, data)
        # A folder may have the name, or a file that of one of its folders.
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            continue
        return name
    raise OSError(f"all names for one image are taken, the last of them {name}")


def _text(record: Mapping[str, Any], status: str) -> str:
    return json.dumps({"status": status, **record}, indent=1, ensure_ascii=False) + "\n"


def _unwritable(uri: str, error: Exception) -> JobError:
    return JobError(
        f"convert.path={redacted(uri)}: cannot be written: {one_line(error)}",
        fix="give a place that you may write to and that has room, and its region and keys in output.storage_options",
    )
