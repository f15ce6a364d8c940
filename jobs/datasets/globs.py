"""Globs over local folders and over the keys of object stores, streamed. Runs on the driver."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from actors.storage import LISTING_ROWS
from actors.uris import is_remote, local_path
from jobs.datasets.listing import batch_of, describe, is_web

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.storage import Storage


def is_glob(path: str) -> bool:
    """Whether ``path`` could be a glob; in a URL of the web a question mark starts the query."""
    return not is_web(path) and any(sign in path for sign in "*?[")


def glob(path: str, storage: Storage, suffixes: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The files that the glob ``path`` matches, and those with ``suffixes`` below each folder that it matches.

    ``**`` stands for any number of folders; the other signs stay within a name. Only local folders that can match
    are entered; of an object store everything below the part of ``path`` before the first sign is listed.
    """
    segments = path.split("/")
    num_literal = next(index for index, segment in enumerate(segments) if is_glob(segment))
    base, pattern = "/".join(segments[:num_literal]), segments[num_literal:]
    if is_remote(path):
        return _match(base, pattern, storage, suffixes)
    return _descend(base or "/", pattern, storage, suffixes)


def has_suffix(uris: pa.Array, suffixes: Sequence[str]) -> pa.Array:
    """Mask of the strings that end in one of ``suffixes``, whatever their case."""
    lowered = pc.utf8_lower(uris)
    found = pa.array([False] * len(uris), pa.bool_())
    for suffix in suffixes:
        found = pc.or_(found, pc.ends_with(lowered, suffix.lower()))
    return found


def _descend(folder: str, pattern: list[str], storage: Storage, suffixes: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if pattern[0] == "**":
        yield from _match(folder, pattern, storage, suffixes)
        return
    files: list[str] = []
    for path in _named(folder, pattern[0]):
        if not os.path.isdir(path):  # noqa: PTH112  streamed, and names that are not UTF-8
            files += [path] if len(pattern) == 1 else []
        elif len(pattern) > 1:
            yield from _descend(path, pattern[1:], storage, suffixes)
        else:
            for batch in storage.list(path):
                yield batch.filter(has_suffix(batch["uri"], suffixes))
        if len(files) == LISTING_ROWS:
            yield batch_of([describe(file, storage) for file in files])
            files = []
    if files:
        yield batch_of([describe(file, storage) for file in files])


def _named(folder: str, pattern: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if fnmatchcase(entry.name, pattern):
                yield entry.path


def _match(base: str, pattern: list[str], storage: Storage, suffixes: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for batch in storage.list(base):
        counts = has_suffix(batch["uri"], suffixes).to_pylist()
        parts = (_below(uri, base).split("/") for uri in batch["uri"].to_pylist())
        mask = [_matches(names, pattern, counts=count) for names, count in zip(parts, counts, strict=True)]
        yield batch.filter(pa.array(mask, pa.bool_()))


def _below(uri: str, base: str) -> str:
    if uri.startswith("file://"):
        uri = os.fsdecode(local_path(uri))
    return uri[len(base.rstrip("/")) + 1 :]


def _matches(names: list[str], pattern: list[str], *, counts: bool) -> bool:
    """Whether the glob takes a file, or, where the file's suffix counts, a folder that the file is in."""
    ends = set(_ends(names, pattern, 0))
    return len(names) in ends or (counts and bool(ends))


def _ends(names: list[str], pattern: list[str], start: int) -> Iterator[int]:
    """Every place in ``names`` where ``pattern`` can end that begins at ``start``."""
    if not pattern:
        yield start
    elif pattern[0] == "**":
        for place in range(start, len(names) + 1):
            yield from _ends(names, pattern[1:], place)
    elif start < len(names) and fnmatchcase(names[start], pattern[0]):
        yield from _ends(names, pattern[1:], start + 1)
