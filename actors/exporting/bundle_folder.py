"""Moves a finished bundle into place atomically. Runs where a bundle is built."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.models.bundle_files import RECORD, read_bundle
from actors.storage.uris import is_remote, join
from actors.storage.whole_folders import path_of, replace_folder, staged_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from actors.storage.store import Storage


def check_place(uri: str, storage: Storage, fingerprint: str, *, overwrite: bool) -> None:
    """Raises `JobError` if a bundle with ``fingerprint`` must not be written to ``uri``.

    Bundles of the same model are replaced, those of other models only with ``overwrite``, and other files never.
    """
    where = redacted(f"export.path={uri}")
    try:
        kind = storage.kind(uri)
        earlier = read_bundle(uri, storage, "export.path") if kind == "folder" else None
        is_taken = kind == "file" or (
            kind == "folder" and earlier is None and next(storage.list(uri), None) is not None
        )
    except (OSError, BaseError) as error:
        raise JobError(
            f"{where}: cannot be read: {one_line(error)}", fix="give a place that you may write to"
        ) from error
    if is_taken:
        raise JobError(f"{where}: contains files other than a bundle", fix="give a new or an empty folder")
    if earlier is not None and earlier.fingerprint != fingerprint and not overwrite:
        raise JobError(
            f"{where}: holds the bundle of another model, {earlier.fingerprint}, and this one is {fingerprint}",
            fix="give another folder, or set export.overwrite=true",
        )


@contextmanager
def staging(uri: str) -> Iterator[Path]:
    """Yields an empty folder for building the bundle for ``uri``, removed on exit.

    For a local ``uri``, it is next to it, so that `place` can rename it.

    Raises:
        JobError: the parent folder of ``uri`` cannot be written.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(staged_folder(uri, "export"))
        except OSError as error:
            raise _unwritable(uri, error) from error
        yield folder


def place(folder: Path, uri: str, storage: Storage) -> None:
    """Moves the content of ``folder``, from `staging`, to ``uri``, replacing an earlier bundle.

    In an object store, `RECORD` is removed first and written last: without it, the folder is not a bundle.

    Raises:
        JobError: ``uri`` cannot be written.
    """
    try:
        if is_remote(uri):
            _upload(folder, uri, storage)
        else:
            _move(folder, path_of(uri))
    except (OSError, BaseError) as error:
        raise _unwritable(uri, error) from error


def _unwritable(uri: str, error: Exception) -> JobError:
    return JobError(
        redacted(f"export.path={uri}: cannot be written: {one_line(error)}"),
        fix="give a place that you can write to, and its region and credentials in output.storage_options",
    )


def _move(folder: Path, target: Path) -> None:
    for path in folder.rglob("*"):  # safetensors makes its files private
        path.chmod(0o755 if path.is_dir() else 0o644)
    replace_folder(folder, target)


def _upload(folder: Path, uri: str, storage: Storage) -> None:
    new = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    record = new.pop(RECORD)
    storage.delete([join(uri, RECORD)])
    for name, path in new.items():
        storage.write(join(uri, name), path.read_bytes())
    kept = {join(uri, name) for name in new}
    listed = [found for batch in storage.list(uri) for found in batch["uri"].to_pylist()]
    storage.delete([found for found in listed if found not in kept])
    storage.write(join(uri, RECORD), record.read_bytes())
