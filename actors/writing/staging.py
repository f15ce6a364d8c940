"""Where the parts of one attempt are staged on a local file system: written whole there, then renamed to where readers
look. Made and removed on the driver; workers write into it and never make it.
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
    """The staging folder of an attempt: what one driver does while it holds a lease.

    Removing the folder ends the attempt for good. A writer that was suspended, or hangs in fsync, finds that what it
    would rename is gone, however late it wakes. Object stores know neither renames nor half-written objects, so there
    all of this does nothing.

    Args:
        place: what the lease is on, a URI: the output, or a slice of a run.
        attempt: unique to the attempt.
    """

    place: str
    attempt: str

    @property
    def folder(self) -> str:
        return join(_above(self.place), self.attempt)

    def open(self) -> None:
        """Ends every earlier attempt at this place, and makes the folder."""
        if not is_remote(self.place):
            end_attempts(self.place)
            _path(self.folder).mkdir(parents=True)

    def close(self) -> None:
        """Ends this attempt; harmless where another driver has done so."""
        if not is_remote(self.place):
            _remove(_path(self.folder))
            _remove_empty(_path(_above(self.place)))


def end_attempts(place: str) -> None:
    """Removes every staging folder at ``place``: nothing that was begun there can become a part any more."""
    above = _above(place)
    if is_remote(place) or not _path(above).is_dir():
        return
    for folder in _path(above).iterdir():
        _remove(folder)
    _remove_empty(_path(above))


def _above(place: str) -> str:
    return join(place, "_staging")


def _path(uri: str) -> Path:
    return Path(os.fsdecode(local_path(uri)))


def _remove(folder: Path) -> None:
    """Renamed first: in one step no writer finds the folder, whatever is written into it meanwhile."""
    doomed = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)  # a network file system may keep open files; the next driver removes them


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
