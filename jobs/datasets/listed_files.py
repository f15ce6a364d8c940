"""Represents single files as a listing. Used on the driver to resolve paths."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import pyarrow as pa

from actors.storage import local_files
from actors.storage.store import LISTING_SCHEMA, Storage
from actors.storage.uris import is_http, is_remote

if TYPE_CHECKING:
    from collections.abc import Sequence


class File(NamedTuple):
    """A listed file, with the columns of `LISTING_SCHEMA`."""

    uri: str
    size: int | None
    version: str | None


def describe(uri: str, storage: Storage) -> File:
    """Describes the file as a listing of its folder would."""
    if is_remote(uri):
        return File(uri, *storage.describe(uri))
    _, size, version = local_files.describe(storage.local_path(uri))
    return File(representable(uri), size, version)


def batch_of(files: Sequence[File]) -> pa.RecordBatch:
    """Builds one batch of `LISTING_SCHEMA`."""
    return pa.RecordBatch.from_pylist([file._asdict() for file in files], schema=LISTING_SCHEMA)


def representable(path: str) -> str:
    """Converts ``path`` to a string that Arrow can hold: a path that is not UTF-8 becomes a percent-encoded URI."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "file://" + quote(os.fsencode(path))
    return path


def is_web(uri: str) -> bool:
    """Returns True for an http(s) URL: percent-encoded, perhaps with a query, and without a listing."""
    return is_http(uri)
