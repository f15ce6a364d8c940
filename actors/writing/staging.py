"""Staging folders, where parts are written on a local file system before being renamed into place. The driver creates
and removes them; workers write into them, and never create them.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from actors.storage.uris import is_remote, join, local_path


@dataclass(frozen=True)
class Staging:
    """The staging folder of an attempt, which exists while a driver holds its lease.

    Removing the folder ends the attempt for good: a writer that was suspended or hangs in fsync can no longer rename
    its file, however late it resumes. On object stores, which have neither renames nor half-written objects, all
    methods are no-ops.

    Args:
        place: URI that the lease covers: the output, or a slice of a run.
        attempt: unique name of the attempt.
    """

    place: str
    attempt: str

    @property
    def folder(self) -> str:
        return join(_above(self.place), self.attempt)

    def open(self) -> None:
        """Ends all earlier attempts at this place, and creates the folder."""
        if not is_remote(self.place):
            end_attempts(self.place)
            # Only by the driver: a worker that created it could revive an ended attempt.
            _path(self.folder).mkdir(parents=True)

    def close(self) -> None:
        """Ends this attempt, unless another driver has already done so."""
        if not is_remote(self.place):
            _remove(_path(self.folder))
            _remove_empty(_path(_above(self.place)))


def end_attempts(place: str) -> None:
    """Removes all staging folders at ``place``, so that no unfinished write can become a part."""
    above = _above(place)
    if is_remote(place) or not _path(above).is_dir():
        return
    # The caller holds the output, so no folder here belongs to a live driver.
    for folder in _path(above).iterdir():
        _remove(folder)
    _remove_empty(_path(above))


def _above(place: str) -> str:
    return join(place, "_staging")


def _path(uri: str) -> Path:
    return Path(os.fsdecode(local_path(uri)))


def _remove(folder: Path) -> None:
    """Removes a folder. The rename takes it from all writers atomically."""
    doomed = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)  # NFS may keep open files; the next driver removes them


def _remove_empty(folder: Path) -> None:
    # Another driver may have created its own folder there since.
    with suppress(OSError):
        folder.rmdir()
