"""Listing of an output: files below `output.path` by run, and files of no run. Created once, when `jobs.verify`
starts.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from actors.storage.json_documents import MAX_BYTES
from actors.storage.uris import absolute, is_remote, join, local_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO

    from actors.storage.store import Storage


@dataclass(frozen=True)
class Output:
    """The files of an output. Names are paths relative to ``root``, with slashes; sizes are in bytes."""

    root: str
    storage: Storage
    runs: Mapping[str, Mapping[str, int]]
    """Files below ``runs/``, by run."""
    parts: Mapping[str, Mapping[str, int]]
    """Files below ``rows/`` and ``errors/``, by run; of any model."""
    strangers: Sequence[str]
    """Files below ``rows/`` and ``errors/`` that belong to no run."""

    def uri(self, name: str) -> str:
        """Returns the URI or absolute path of a file."""
        # Local names that are not UTF-8 are listed as whole URIs.
        return name if name.startswith("file://") else join(self.root, name)

    def read(self, name: str) -> bytes:
        """Reads a whole file. Raises FileNotFoundError or `LinkError`."""
        self._refuse_links(name)
        return self.storage.read(self.uri(name), max_bytes=MAX_BYTES)

    def open(self, name: str) -> BinaryIO:
        """Opens a file for partial reads. Raises FileNotFoundError or `LinkError`."""
        self._refuse_links(name)
        return self.storage.open(self.uri(name))

    def _refuse_links(self, name: str) -> None:
        if is_remote(self.root):
            return
        path = os.fsdecode(local_path(self.uri(name)))
        if os.path.realpath(path) != os.path.join(os.path.realpath(self.root), os.path.relpath(path, self.root)):  # noqa: PTH118  no follower of links
            raise LinkError("it is or lies below a symbolic link, so its content at publication is unknown")


class LinkError(ValueError):
    """A file of the output is a symbolic link, or lies below one."""


def list_output(path: str, storage: Storage) -> Output:
    """Lists the output at ``path``; empty if there is none.

    Runs are listed before parts. A run that is already published then has all its parts in the list, even if other runs
    write in the meantime.
    """
    root = absolute(path) if is_remote(path) else os.fsdecode(local_path(absolute(path)))
    runs: dict[str, dict[str, int]] = {}
    parts: dict[str, dict[str, int]] = {}
    strangers: list[str] = []
    for name, size in _files(root, "runs", storage):
        if found := _OF_RUN.fullmatch(name):
            runs.setdefault(found["run"], {})[name] = size
    has_begun = cache(lambda run_id: run_id in runs or storage.kind(join(root, "runs", run_id)) is not None)
    for name, size in (file for folder in ("rows", "errors") for file in _files(root, folder, storage)):
        found = _PART.fullmatch(name)
        if found and has_begun(found["run"]):
            parts.setdefault(found["run"], {})[name] = size
        else:
            strangers.append(name)
    return Output(root, storage, runs, parts, sorted(strangers))


_OF_RUN = re.compile(r"runs/(?P<run>[^/]+)/.+", re.DOTALL)
_PART = re.compile(r"(?:rows|errors)/model=[^/]+/run=(?P<run>[^/]+)/[^/]+", re.DOTALL)


def _files(root: str, folder: str, storage: Storage) -> Iterator[tuple[str, int]]:
    place, prefix = join(root, folder), join(root, "")
    if storage.kind(place) != "folder":
        return
    for batch in storage.list(place):
        for uri, size in zip(batch["uri"].to_pylist(), batch["size"].to_pylist(), strict=True):
            yield uri.removeprefix(prefix), -1 if size is None else size
