"""Resolves paths, globs and URI prefixes of a dataset to files, as a stream. Runs on the driver."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
from obstore.exceptions import BaseError, NotSupportedError

from actors.errors import JobError, UnreachableError
from actors.messages import one_line, redacted
from actors.storage.retries import transient_kind
from actors.storage.uris import absolute, is_remote
from jobs.datasets.globs import glob, is_glob
from jobs.datasets.listed_files import File, batch_of, describe, is_web, representable
from jobs.datasets.passed_over import PassedOver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.storage.store import Storage
    from jobs.datasets.selection import Selection


def paths_of(value: object) -> list[str]:
    """Converts ``dataset.path``, one value or a list, to absolute URIs. Raises JobError for anything else."""
    # Hydra reads dataset.path=2024 as an integer.
    paths = list(value) if isinstance(value, list | tuple) else [value]
    if not paths or not all(isinstance(path, str | os.PathLike | int) and str(path) for path in paths):
        raise JobError(
            f"dataset.path={value}: not a path, URI or list of these", fix="name a file, a folder, a glob or a URI"
        )
    return [representable(absolute(str(path))) for path in paths]


def list_files(path: str, storage: Storage, selection: Selection) -> Iterator[pa.RecordBatch]:
    """Lists the files of ``path`` in batches of `LISTING_SCHEMA`.

    A file yields itself. A folder or prefix yields every selected file below it, at any depth. Otherwise ``*``, ``?``,
    ``[..]`` and ``**`` form a glob: a matching file is listed whatever its suffix, and a matching folder is treated as
    a folder. The order is undefined, and files in two overlapping paths are listed twice.

    Raises:
        JobError: nothing exists at ``path``, or it cannot be listed. An empty folder is not an error here.
    """
    with naming(path):
        kind = "signed" if is_web(path) and "?" in path else storage.kind(path)
        if kind == "signed":  # permits only reading: a server may reject a request for size or existence
            yield batch_of([File(path, None, None)])
        elif kind == "file":
            yield batch_of([describe(path, storage)])
        elif kind == "folder":
            for batch in storage.list(path, lambda folder, error: selection.pass_folder(folder, path, error)):
                yield selection.keep(batch, path)
        elif is_glob(path):
            yield from _at_least_one(path, glob(path, storage, selection), selection)
        elif not (selection.allow_empty and is_remote(path) and not is_web(path)):  # an empty prefix does not exist
            raise JobError(
                f"dataset.path={redacted(path)}: no such file or folder",
                fix="check the spelling; a URI prefix must have objects below it",
            )


def first_batch(path: str, storage: Storage, selection: Selection) -> pa.RecordBatch | None:
    """Returns the first batch of `list_files`, which shows that there is something to list."""
    return next(list_files(path, storage, replace(selection, passed_over=PassedOver())), None)


def container_files(paths: Sequence[str], storage: Storage, selection: Selection) -> Iterator[File]:
    """Yields the files of every path. Raises JobError for a path without files, unless it is empty and may be."""
    for path in paths:
        num_before = selection.passed_over.num_visible
        found = False
        for batch in list_files(path, storage, selection):
            for row in zip(*batch.to_pydict().values(), strict=True):
                found = True
                yield File(*row)
        is_empty = selection.passed_over.num_visible == num_before
        if not found and not (is_empty and selection.allow_empty):
            empty = "it is empty: " if is_empty and not selection.passed_over.total else ""
            suffixes = " or ".join(selection.suffixes)
            raise JobError(
                f"dataset.path={redacted(path)}: {empty}no file in it ends in {suffixes}{_passed(selection)}",
                fix="name the files themselves, or another folder; dataset.include lists hidden names, and "
                "dataset.allow_empty=true an empty folder",
            )


@contextmanager
def naming(uri: str) -> Iterator[None]:
    """Converts storage and file format errors to a JobError that names ``uri``, or to an UnreachableError if a retry
    may succeed.
    """
    try:
        yield
    except (BaseError, OSError, EOFError, pa.ArrowException, ValueError) as error:
        problem = f"dataset.path={redacted(uri)}: {one_line(error)}"
        if transient_kind(error):
            raise UnreachableError(f"{problem}\n  fix: {_PASSING_FIX}") from error
        fix = next(fix for types, fix in _FIXES if isinstance(error, types))
        raise JobError(problem, fix=fix) from error


_ADDRESS = "check the address, the network, and endpoint, region and keys in dataset.storage_options"
_PASSING_FIX = f"{_ADDRESS}, and run the same command again once the storage answers"

# The first matching entry applies: FileNotFoundError is an OSError, and Arrow's ArrowInvalid a ValueError.
_FIXES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((FileNotFoundError,), "check the spelling, or list again"),
    ((PermissionError,), "grant this user read access"),
    ((NotSupportedError,), "copy it to a disk or an object store: this server has no range requests"),
    ((BaseError,), _ADDRESS),
    ((pa.ArrowException, OSError, EOFError), "repair the file, or omit it"),
    ((ValueError,), "check the spelling"),
)


def _at_least_one(path: str, batches: Iterator[pa.RecordBatch], selection: Selection) -> Iterator[pa.RecordBatch]:
    num_before = selection.passed_over.total
    found = False
    for batch in batches:
        if len(batch):
            found = True
            yield batch
    if not found and not selection.allow_empty and selection.passed_over.total == num_before:
        raise JobError(f"dataset.path={path}: the glob matches nothing", fix="quote it, and try it with ls")


def _passed(selection: Selection) -> str:
    return f"; skipped: {selection.passed_over}" if selection.passed_over.total else ""


def dataset_name(kind: str, path: object) -> str:
    """Returns a short description: the kind and the first of the paths, without secrets."""
    paths = path if isinstance(path, list) else [path]
    if not paths or paths[0] in (None, "", "???"):
        return kind
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return f"{kind}: {redacted(str(paths[0]))}{more}"
