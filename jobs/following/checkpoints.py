"""Lists the checkpoints below a folder or prefix. Runs on the driver."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from actors.storage.uris import join, name_below
from jobs.datasets.selection import ends_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from actors.storage.store import Storage

SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors", ".onnx")
"""Extensions of files that count as checkpoints if no pattern is given. Not .bin, which may be half of an OpenVINO
model or the state of an optimizer.
"""


class ListedFile(NamedTuple):
    """A file in a listing."""

    name: str
    """Path relative to the listed folder or prefix."""
    uri: str
    size: int
    version: str


@dataclass(frozen=True)
class Checkpoint:
    """A file, or a folder with a whole model."""

    name: str
    """Path below `checkpoints.path`."""
    uri: str
    files: tuple[ListedFile, ...]
    is_folder: bool = False
    modified_at: datetime | None = None
    """UTC; None until `timed` sets it."""

    @property
    def version(self) -> str:
        """Version that changes with the content, as far as a listing shows."""
        if not self.is_folder:
            return self.files[0].version
        return hashlib.sha256(json.dumps(self.files).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def order(self) -> list[str | int]:
        """Sort key for the natural order of names: step-9 comes before step-10."""
        return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", self.name)]

    def timed(self, storage: Storage) -> Checkpoint:
        """Returns a copy with the time of the last change. Raises `FileNotFoundError` if the checkpoint is gone."""
        return replace(self, modified_at=max(storage.modified(file.uri) for file in self.files))

    def digest(self, storage: Storage) -> str:
        """Returns the SHA-256 of the file, in hexadecimal; for a folder, over the names and digests of its files.

        Raises:
            FileNotFoundError: the checkpoint is gone.
        """
        digests = [_digest(file.uri, storage) for file in self.files]
        if not self.is_folder:
            return digests[0]
        names = [file.name for file in self.files]
        return hashlib.sha256(json.dumps(list(zip(names, digests, strict=True))).encode()).hexdigest()


def find_checkpoints(path: str, pattern: str | None, storage: Storage) -> list[Checkpoint]:
    """Lists the checkpoints below ``path`` in natural order of their names; empty if it does not exist.

    Args:
        path: absolute path or URI.
        pattern: `checkpoints.pattern`. Names that start with a dot are skipped.
        storage: storage of the checkpoints.
    """
    wanted = (pattern or "*").strip("/").split("/")
    files, folders = [], defaultdict(list)
    for file in _listed(path, storage):
        names = file.name.split("/")
        end = min(ends_of(names, wanted), default=None)
        if end is None:
            continue
        if end < len(names):
            folders["/".join(names[:end])].append(file)
        elif pattern or file.name.endswith(SUFFIXES):
            files.append(Checkpoint(file.name, file.uri, (file,)))
    found = [*files, *_whole_models(path, folders)]
    return sorted(found, key=lambda checkpoint: checkpoint.order)


def _whole_models(path: str, folders: Mapping[str, Sequence[ListedFile]]) -> Iterator[Checkpoint]:
    for name, files in folders.items():
        if not {f"{name}/config.json", f"{name}/bundle.json"}.isdisjoint(file.name for file in files):
            yield Checkpoint(name, join(path, name), tuple(sorted(files)), is_folder=True)


def _listed(path: str, storage: Storage) -> Iterator[ListedFile]:
    try:
        for batch in storage.list(path):
            rows = zip(*(batch[name].to_pylist() for name in ("uri", "size", "version")), strict=True)
            # No version: deleted since, or not a regular file.
            files = [ListedFile(name_below(path, uri), uri, size, version) for uri, size, version in rows if version]
            yield from (file for file in files if not any(map(_is_hidden, file.name.split("/"))))
    except FileNotFoundError:
        return


def _is_hidden(name: str) -> bool:
    return not name or name.startswith(".")  # object stores may mark a folder with an empty name


def _digest(uri: str, storage: Storage) -> str:
    total = hashlib.sha256()
    with storage.open(uri) as file:
        while chunk := file.read(_CHUNK_BYTES):
            total.update(chunk)
    return total.hexdigest()


_CHUNK_BYTES = 32 << 20  # each read of a remote file is a request
