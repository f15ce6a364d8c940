"""A cache of folders on local disk, filled once per node and shared by later runs of the same user. Runs in each worker
that loads a model.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXPORTS, CHECKS, CHOICES, WEIGHTS, RECORDS = "exports", "checks", "choices", "weights", "records"
_WHAT = {
    EXPORTS: "exported models",
    CHECKS: "checks of models",
    CHOICES: "choices of engines",
    WEIGHTS: "fetched models",
    RECORDS: "records of models",
}
# Folders. An export is as large as its model, so this limits the disk space used on a node.
NUM_KEPT = {EXPORTS: 8, CHECKS: 64, CHOICES: 64, WEIGHTS: 8, RECORDS: 64}


class CacheError(JobError):
    """Nothing can be cached: the folder is not writable, or other users may write to it."""


def keep(key: str, make: Callable[[Path], None], is_current: Callable[[Path], bool], *, kind: str = EXPORTS) -> Path:
    """Returns the folder that ``make`` filled for ``key``. If several processes ask at once, one makes it and the
    others wait.

    The cache is the folder ``kind`` under SHARDLENS_CACHE, or under ``shardlens`` in XDG_CACHE_HOME or ``~/.cache``. It
    keeps the `NUM_KEPT` most recently used folders, and recreates damaged ones.

    Args:
        key: letters and digits.
        make: fills the empty folder that it is given.
        is_current: returns True if an undamaged folder may still be used.
        kind: `EXPORTS`, `CHECKS`, `CHOICES`, `WEIGHTS` or `RECORDS`.

    Raises:
        CacheError: the folder cannot be written, or other users may write to it.
        Exception: any error of ``make``, after which nothing is kept.
    """
    root = _root(kind)
    folder = root / key
    try:
        if not _is_there(folder, is_current):
            _make_once(folder, make, is_current)
            _prune(root, NUM_KEPT[kind])
    except OSError as error:
        raise CacheError(
            f"{root}: {_WHAT[kind]} cannot be kept there: {one_line(error)}", fix=f"make room, or {_FIX}"
        ) from error
    return folder


def find(key: str, is_current: Callable[[Path], bool], *, kind: str = EXPORTS) -> Path | None:
    """Returns the folder that `keep` cached, or None if there is no usable one, or no cache that only this user may
    write to.
    """
    try:
        folder = _root(kind) / key
        return folder if _is_there(folder, is_current) else None
    except (JobError, OSError):
        return None


def _is_there(folder: Path, is_current: Callable[[Path], bool]) -> bool:
    _claim(folder.parent.parent)
    _claim(folder.parent)
    with _locked(_lock(folder), is_shared=True):
        return _is_ready(folder, is_current)


_FIX = "set SHARDLENS_CACHE to a folder that only this user may write to; it is created if needed"
_DIGESTS = "digests.json"


def _root(kind: str) -> Path:
    if given := os.environ.get("SHARDLENS_CACHE"):
        return Path(given).absolute() / kind
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given).absolute() / "shardlens" / kind
    try:
        return Path.home() / ".cache" / "shardlens" / kind
    except RuntimeError as error:
        raise CacheError(f"this user has no home folder for {_WHAT[kind]}", fix=_FIX) from error


def _claim(folder: Path) -> None:
    """Creates the folder if needed. Another user with write access could make this user run their model."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & _WRITABLE_BY_OTHERS:
        raise CacheError(f"{folder}: belongs to another user, or others may write to it", fix=f"{_FIX}, or chmod go-w")


_WRITABLE_BY_OTHERS = 0o022  # by the group or by everyone


def _lock(folder: Path) -> Path:
    """Returns the lock file for the folder and its staging folder."""
    return folder.with_name(f"{folder.stem}.lock")


@contextmanager
def _locked(path: Path, *, is_shared: bool = False, waits: bool = True) -> Iterator[None]:
    """Holds the lock of a file, creating the file if needed. Raises OSError instead of waiting unless ``waits``."""
    import fcntl  # noqa: PLC0415  missing on Windows, where models that need no cache must still load

    operation = (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB)
    while True:
        with path.open("ab") as file:  # closing it releases the lock
            # Not lockf: its locks are released as soon as this process closes any descriptor of the file.
            fcntl.flock(file, operation)
            if not _is_at(path, file.fileno()):  # another process has removed it
                continue
            yield
            return


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _is_ready(folder: Path, is_current: Callable[[Path], bool]) -> bool:
    """Marks the folder as just used, and returns True, if it can be used."""
    is_ready = _is_whole(folder) and is_current(folder)
    if is_ready:
        os.utime(folder)
    return is_ready


def _is_whole(folder: Path) -> bool:
    try:
        digests = json.loads((folder / _DIGESTS).read_bytes())
        return bool(digests) and digests == {name: _digest(folder / name) for name in digests}
    except (OSError, ValueError, TypeError):  # missing or damaged
        return False


def _make_once(folder: Path, make: Callable[[Path], None], is_current: Callable[[Path], bool]) -> None:
    with _locked(_lock(folder)):
        if not _is_ready(folder, is_current):  # another process may have made it by now
            _make(folder, make)


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    staged = folder.with_name(f"{folder.name}.part")
    _remove(staged)  # left by a process that died
    staged.mkdir(mode=0o700)
    try:
        make(staged)
        digests = {path.relative_to(staged).as_posix(): _digest(path) for path in staged.rglob("*") if path.is_file()}
        (staged / _DIGESTS).write_text(json.dumps(digests))
        _remove(folder)  # a rename replaces only an empty folder
        staged.rename(folder)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prune(root: Path, num_kept: int) -> None:
    """Removes all but the most recently used folders, without waiting. Open files stay readable."""
    # A locked folder is being checked or made, and raises; the next process that makes a folder prunes again.
    folders = sorted((path for path in root.iterdir() if path.is_dir()), key=_used_at, reverse=True)
    for folder in folders[num_kept:]:
        with suppress(OSError), _locked(_lock(folder), waits=False):
            _remove(folder)
            _lock(folder).unlink()


def _used_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
