"""Globs over local folders and over the keys of object stores, streamed. Runs on the driver."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.storage.store import LISTING_ROWS
from actors.storage.uris import is_remote
from jobs.datasets.listed_files import batch_of, describe, is_web
from jobs.datasets.selection import below, ends_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.storage.store import Storage
    from jobs.datasets.selection import Selection


def is_glob(path: str) -> bool:
    """Returns True if ``path`` could be a glob; in an http(s) URL, a question mark starts the query."""
    return not is_web(path) and any(sign in path for sign in "*?[")


def glob(path: str, storage: Storage, selection: Selection) -> Iterator[pa.RecordBatch]:
    """Lists the files that the glob ``path`` matches, and the selected files below each folder that it matches.

    ``**`` matches any number of folders; other wildcards stay within a name. A name that starts with a dot or an
    underscore matches only patterns that start with it. Only local folders that can match are entered; in an object
    store, everything below the part of ``path`` before the first wildcard is listed.
    """
    segments = path.split("/")
    num_literal = next(index for index, segment in enumerate(segments) if is_glob(segment))
    base, pattern = "/".join(segments[:num_literal]), segments[num_literal:]
    found = _Glob(base or "/", pattern, storage, selection)
    return found.match(base, pattern) if is_remote(path) else found.descend(found.base, pattern)


@dataclass(frozen=True)
class _Glob:
    """Matches of ``pattern`` below ``base``."""

    base: str
    pattern: list[str]
    storage: Storage
    selection: Selection

    def descend(self, folder: str, pattern: list[str]) -> Iterator[pa.RecordBatch]:
        """Yields matches of ``pattern`` in a local folder."""
        if pattern[0] == "**":
            yield from self.match(folder, pattern)
            return
        files: list[str] = []
        for path in self._named(folder, pattern[0]):
            if not os.path.isdir(path):  # noqa: PTH112  streamed, and names that are not UTF-8
                files += [path] if len(pattern) == 1 else []
            elif len(pattern) > 1:
                yield from self.descend(path, pattern[1:])
            else:
                for batch in self._list(path):
                    yield self._keep(batch)
            if len(files) == LISTING_ROWS:
                yield self._described(files)
                files = []
        if files:
            yield self._described(files)

    def match(self, folder: str, pattern: list[str]) -> Iterator[pa.RecordBatch]:
        """Yields matches of ``pattern`` among everything below ``folder``."""
        for batch in self._list(folder):
            ends = [(names, set(ends_of(names, pattern))) for names in _split(batch["uri"], folder)]
            is_match = pa.array([bool(found) for _, found in ends], pa.bool_())
            is_whole = pa.array([len(names) in found for names, found in ends], pa.bool_())
            yield self._keep(batch.filter(is_match), is_whole.filter(is_match))

    def _named(self, folder: str, pattern: str) -> Iterator[str]:
        with self._passing(folder), os.scandir(folder) as entries:
            for entry in entries:
                if fnmatchcase(entry.name, pattern):
                    yield entry.path

    def _list(self, folder: str) -> Iterator[pa.RecordBatch]:
        pass_folder = self.selection.pass_folder
        with self._passing(folder):
            yield from self.storage.list(folder, lambda inner, error: pass_folder(inner, self.base, error))

    @contextmanager
    def _passing(self, folder: str) -> Iterator[None]:
        """Passes unreadable folders to the selection."""
        try:
            yield
        except PermissionError as error:
            if is_remote(folder) or folder == self.base:
                raise
            self.selection.pass_folder(folder, self.base, error)

    def _described(self, files: list[str]) -> pa.RecordBatch:
        batch = batch_of([describe(file, self.storage) for file in files])
        return self._keep(batch, pa.array([True] * len(batch)))

    def _keep(self, batch: pa.RecordBatch, whole: pa.Array | None = None) -> pa.RecordBatch:
        return self.selection.keep(batch, self.base, spelled=self.pattern, whole=whole)


def _split(uris: pa.Array, folder: str) -> Iterator[list[str]]:
    return (name.split("/") for name in below(uris, folder).to_pylist())
