"""One driver an output: a lease in the output's own storage, by conditional create alone. Held on the driver; write
tasks ask its `FencingToken`.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from actors.errors import CredentialsError, JobError, OutputError
from actors.messages import one_line, write_problem
from actors.storage.retries import Retry, transient_kind
from actors.storage.store import Storage
from actors.writing.staging import Staging
from jobs.leases.lease_files import Holder, LeaseFiles, this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOG = logging.getLogger("shardlens")

TTL_S = 30.0
"""Seconds without a sign of life after which a lease may be taken over."""


class HeldError(Exception):
    """Another run holds the output, and lives. Exit status 5."""

    def __init__(self, message: str, holder: Holder | None = None) -> None:
        super().__init__(message)
        self._holder = holder

    def is_shared_with(self, other: Holder) -> bool:
        """Whether the holder does another slice of the run of ``other``."""
        mine = self._holder
        return mine is not None and other.slices > 1 and (mine.run_id, mine.slices) == (other.run_id, other.slices)


class LostLeaseError(Exception):
    """This run no longer holds its output, so it must publish nothing. Exit status 5."""


@contextmanager
def hold(
    root: str,
    storage: Storage,
    *,
    run_id: str = "",
    slices: int = 1,
    ttl_s: float = TTL_S,
    on_lost: Callable[[], None],
) -> Iterator[Lease]:
    """Holds the output ``root`` until the end of the block, however that ends.

    A holder shows life by changing its file every ``ttl_s / 6``. Held by another, the file is watched: as soon as it
    changes the other lives, and if it stays as it is for the other's ``ttl_s`` it is taken over; at once where the
    other's process is known to be gone from this machine. Each side measures time on its own monotonic clock, and no
    wall clocks are compared.

    Args:
        root: `output.path`, absolute.
        storage: holds it.
        run_id: for people who meet the lease; may be set later, as ``lease.run_id``.
        slices: drivers that share the run; where there are several, the others of the same run are waited for.
        ttl_s: seconds without a sign of life after which others may take over.
        on_lost: called once, in another thread, when another has taken over, or when the file could not be renewed
            for ``ttl_s``, so that another may have.

    Raises:
        HeldError: another run holds the output.
        JobError: the output cannot be written, or its store cannot keep two drivers apart.
    """
    files = _lease_files(root, storage)
    holder = this_process(run_id, slices, ttl_s)
    with _naming_the_output(root):
        number = _acquire(files, holder)
        staging = Staging(root, holder.holder)
        staging.open()
    lease = Lease(FencingToken(files, number, staging.folder), holder, staging)
    lease.start_beating(on_lost)
    try:
        yield lease
    finally:
        lease.release()


def is_free(root: str, storage: Storage, *, ttl_s: float = TTL_S) -> bool:
    """Whether nobody who lives holds ``root``. Where that shows by silence alone, it takes the holder's ``ttl_s``."""
    files = _lease_files(root, storage)
    number = files.highest()
    try:
        return not number or _falls_free(files, number, ttl_s)
    except HeldError:
        return False


def _lease_files(root: str, storage: Storage) -> LeaseFiles:
    return LeaseFiles(root, Storage({**storage.options, "timeout": _TIMEOUT}, _RETRY))


@dataclass(frozen=True)
class FencingToken:
    """What a worker needs to ask whether its driver still holds the output; cheap to pickle."""

    files: LeaseFiles
    number: int
    staging: str

    def is_held(self) -> bool:
        """Whether nobody has taken over, by one listing.

        To be asked immediately before a put. A put to an object store that is on its way cannot be called back.
        """
        highest = self.files.highest()
        # Lower: somebody emptied the folder, or a network file system hid a file that is being replaced.
        return highest == self.number or (highest < self.number and self.files.read(self.number) is not None)


class Lease:
    """A hold on an output; `hold` makes it and ends it."""

    def __init__(self, mark: FencingToken, holder: Holder, staging: Staging) -> None:
        self.mark = mark
        self._staging = staging
        self.run_id = holder.run_id
        self._holder = holder
        self._num_beats = 0
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None
        self._why_lost: str | None = None

    def check(self) -> None:
        """To be called before anything is published. Raises `LostLeaseError` unless the output is still held."""
        if self._why_lost is not None or not self.mark.is_held():
            raise LostLeaseError(
                f"output.path={self.mark.files.root}: {self._why_lost or _TAKEN}; nothing was published\n"
                "  cure: start the job again once no other run holds the output; it goes on where this one stood"
            )

    def start_beating(self, on_lost: Callable[[], None]) -> None:
        self._beating = threading.Thread(target=self._beat_until_lost, args=(on_lost,), name="lease", daemon=True)
        self._beating.start()

    def release(self) -> None:
        self._stop.set()
        if self._beating is not None:
            self._beating.join(_LAST_BEAT_S)
        if self._why_lost is not None:
            return
        try:
            self._staging.close()
            self._write(released=True)
            self.mark.files.delete_below(self.mark.number)
        except (CredentialsError, OSError, BaseError) as error:
            LOG.warning("output.path=%s: its lease was not released: %s", self.mark.files.root, one_line(error))

    def _beat_until_lost(self, on_lost: Callable[[], None]) -> None:
        ttl_s, good_at = self._holder.ttl_s, time.monotonic()
        while self._why_lost is None and not self._stop.wait(ttl_s / _BEATS_A_TTL):
            tried_at = time.monotonic()
            try:
                if self.mark.is_held() and self.mark.files.is_of(self.mark.number, self._holder):
                    self._write(released=False)
                    good_at = tried_at
                else:
                    self._why_lost = _TAKEN
            except (CredentialsError, OSError, BaseError) as error:
                LOG.warning("output.path=%s: its lease was not renewed: %s", self.mark.files.root, one_line(error))
                if time.monotonic() - good_at >= ttl_s:
                    self._why_lost = f"its lease could not be renewed for {ttl_s:g} s: {one_line(error)}"
        if self._why_lost is not None and not self._stop.is_set():
            on_lost()

    def _write(self, *, released: bool) -> None:
        self._num_beats += 1
        said = replace(self._holder, run_id=self.run_id, beat=self._num_beats, released=released)
        self.mark.files.write(self.mark.number, said)


_BEATS_A_TTL = 6
_LOOKS_A_TTL = 60
_TIMEOUT = "10s"  # obstore's 30 s are a whole ttl: one connection that hangs would cost the lease
_RETRY = Retry(attempts=2, first_wait_s=0.2, max_wait_s=2.0)  # what fails twice fails the next beat too
_LAST_BEAT_S = 15.0
_TAKEN = "another run took over, having seen no sign of life of this one, or somebody removed its lease"


@contextmanager
def _naming_the_output(root: str) -> Iterator[None]:
    """What goes wrong at the first touch of the output, and does not pass, is the job's fault."""
    try:
        yield
    except (OSError, BaseError) as error:
        if transient_kind(error):
            raise
        raise cannot_be_written(root, error) from error


def cannot_be_written(path: str, error: Exception) -> JobError | OutputError:
    """The job's error where `output.path` is not there, or not ours; the output's where the disk takes no more."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM and (said := write_problem(error, path)):
        return OutputError(said)
    return JobError(
        f"output.path={path}: cannot be written: {one_line(error)}",
        cure="give a folder or prefix that you may write to, and its region and keys in output.storage_options",
    )


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def _acquire(files: LeaseFiles, holder: Holder) -> int:
    """The number under which ``holder`` now holds the lease."""
    while True:
        number = files.highest()
        try:
            if number and not _falls_free(files, number, holder.ttl_s):
                continue
        except HeldError as error:
            if not error.is_shared_with(holder):
                raise
            continue
        # Since the look others may have come and gone, and their releases deleted lower numbers: look again.
        if files.create(number + 1, holder) and files.highest() == number + 1:
            files.check_store(number + 1, holder)
            # Some stores look, then write: of two at once the last one stands.
            if files.highest() == number + 1 and files.is_of(number + 1, holder):
                return number + 1


def _falls_free(files: LeaseFiles, number: int, ttl_s: float) -> bool:
    """Waits until the lease of that number may be taken over; False if others did. An unreadable one has no life.

    Raises:
        HeldError: its holder has shown life.
    """
    first, first_at = files.read(number), time.monotonic()
    while files.highest() == number:
        asked_at = time.monotonic()
        content = files.read(number)
        holder = Holder.from_bytes(content or b"")
        if holder is not None and (holder.released or holder.is_dead()):
            return True
        if content not in (first, None):
            raise _held(files, number, holder)
        limit_s = ttl_s if holder is None else holder.ttl_s
        if asked_at - first_at >= limit_s:
            LOG.warning("output.path=%s: taken over: %g s without a sign of life of %s", files.root, limit_s, holder)
            return True
        time.sleep(limit_s / _LOOKS_A_TTL)
    return False


def _held(files: LeaseFiles, number: int, holder: Holder | None) -> HeldError:
    who = holder or f"a process whose lease cannot be read ({files.uri(number)})"
    return HeldError(
        f"output.path={files.root}: another run holds this output: {who}\n"
        "  cure: wait for its end, or stop it, or choose another output.path",
        holder,
    )
