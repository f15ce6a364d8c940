"""Copies of a model's remote files on this machine, fetched once per node, regardless of the number of actors. Used
where a model is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from actors.disk_cache import WEIGHTS, CacheError, keep
from actors.errors import JobError
from actors.models.model_files import base_name, reading, sibling
from actors.models.pinned_files import check_bytes, check_content
from actors.storage.store import Storage
from actors.storage.uris import is_remote, local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from actors.models.spec import Model

    Siblings = Callable[[Path], Sequence[str]]


def no_siblings(path: Path) -> Sequence[str]:  # noqa: ARG001
    """Returns the siblings of a checkpoint in one file: none."""
    return ()


@contextmanager
def local_copy(model: Model, siblings: Siblings = no_siblings, *, kind: str = "file") -> Iterator[Path]:
    """Yields the checkpoint on this machine, with its other files in place, for as long as the context is open.

    Local files are used in place. Remote files are kept for later runs if the server reports versions.

    Args:
        model: names the checkpoint.
        siblings: returns the paths of its other files, relative to its folder, given the local path of the checkpoint.
        kind: a word for this kind of file, for messages.

    Raises:
        JobError: a file is missing or cannot be read, or the files do not have the digest ``model.sha256``.
    """
    if not is_remote(model.checkpoint):
        path = Path(os.fsdecode(local_path(model.checkpoint)))
        with reading(model.where):
            if not stat.S_ISREG(path.stat().st_mode):  # a reader would wait for a writer of a named pipe
                raise OSError("not a regular file")
            names = siblings(path)
        for name in names:
            if not (path.parent / name).is_file():
                raise missing_file(model, kind, name)
        check_content(model, [path, *(path.parent / name for name in names)])
        yield path
        return
    fetch = partial(_fetch, model, siblings=siblings, kind=kind)
    if (kept := _kept(model, fetch)) is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        fetch(Path(folder))
        yield _copy(Path(folder), model)


def pinned_content(model: Model) -> bytes:
    """Returns the only file of ``model``, whose ``model.sha256`` is set. Raises `JobError` if the digest differs.

    The caller must load these bytes and not reopen the file, which may have changed since.
    """
    with local_copy(model) as path, reading(model.where):
        data = path.read_bytes()
    check_bytes(model, data)
    return data


_VERSIONS = "versions.json"


def _kept(model: Model, fetch: Callable[[Path], list[str]]) -> Path | None:
    """Returns the copy in the node's cache; None if nothing can be cached here, or there is no version to detect
    changes by.
    """
    if _version(model, model.checkpoint)[1] is None:
        return None
    key = hashlib.sha256(repr((model.checkpoint, model.sha256)).encode()).hexdigest()
    try:
        folder = keep(key, partial(_fetch_version, model, fetch=fetch), partial(_is_current, model), kind=WEIGHTS)
    except CacheError:
        return None
    return _copy(folder, model)


def _copy(folder: Path, model: Model) -> Path:
    # In a separate folder, since the names come from the files.
    return folder / "files" / base_name(model.checkpoint)


def _fetch(model: Model, folder: Path, *, siblings: Siblings, kind: str) -> list[str]:
    """Fills ``folder`` with the files of ``model``; returns the paths of the siblings."""
    storage = Storage(model.storage_options)
    path = _copy(folder, model)
    path.parent.mkdir()
    with reading(model.where):
        path.write_bytes(storage.read(model.checkpoint))
    names = list(siblings(path))
    for name in names:
        copy = path.parent / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            copy.write_bytes(storage.read(sibling(model.checkpoint, name)))
        except FileNotFoundError:
            raise missing_file(model, kind, name) from None
    check_content(model, [path, *(path.parent / name for name in names)])
    return names


def _fetch_version(model: Model, folder: Path, *, fetch: Callable[[Path], list[str]]) -> None:
    """Does the same, and records the versions of the files."""
    before = _version(model, model.checkpoint)
    names = fetch(folder)
    versions = {"": before, **{name: _version(model, sibling(model.checkpoint, name)) for name in names}}
    (folder / _VERSIONS).write_text(json.dumps(versions))


def _is_current(model: Model, folder: Path) -> bool:
    versions = json.loads((folder / _VERSIONS).read_bytes())
    uris = {name: sibling(model.checkpoint, name) if name else model.checkpoint for name in versions}
    try:
        return all(known and (size, known) == _version(model, uris[name]) for name, (size, known) in versions.items())
    except JobError:  # fetching again reports which file is missing
        return False


def _version(model: Model, uri: str) -> tuple[int, str | None]:
    with reading(model.where):
        return Storage(model.storage_options).describe(uri)


def missing_file(model: Model, kind: str, name: str) -> JobError:
    """Returns the error for a model that lacks one of the files beside its checkpoint."""
    return JobError(f"{model.where}: its {kind} {name} is missing", fix="put that file into the same folder")
