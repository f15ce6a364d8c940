"""Lease that gives one driver exclusive use of an output, through conditional creates in the output's storage. Held on
the driver; write tasks check its `FencingToken`.
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
from actors.messages import one_line, redacted, write_problem
from actors.storage.retries import Retry, transient_kind
from actors.storage.store import Storage
from actors.writing.staging import Staging
from jobs.leases.lease_files import Holder, LeaseFiles, this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOG = logging.getLogger("shardlens")


class HeldError(Exception):
    """Another active run holds the output. Exit status 5."""

    def __init__(self, message: str, holder: Holder | None = None) -> None:
        super().__init__(message)
        self._holder = holder

    def is_shared_with(self, other: Holder) -> bool:
        """Returns True if the holder processes another slice of the same run as ``other``."""
        mine = self._holder
        return mine is not None and other.slices > 1 and (mine.run_id, mine.slices) == (other.run_id, other.slices)


class LostLeaseError(Exception):
    """This run no longer holds its output and must not publish. Exit status 5."""


@contextmanager
def hold(
    root: str,
    storage: Storage,
    *,
    run_id: str = "",
    slices: int = 1,
    ttl_s: float,
    on_lost: Callable[[Exception], None],
) -> Iterator[Lease]:
    """Holds the output ``root``; always releases it on exit.

    A holder changes its file every ``ttl_s / 6`` as a sign of life. Another driver watches that file: a change means
    that the holder is alive; if the file is unchanged for the holder's ``ttl_s``, it takes over, or at once if the
    holder's process on this machine has ended. Each side uses its own monotonic clock; wall clocks are never compared.

    Args:
        root: `output.path`, absolute.
        storage: storage of the output.
        run_id: shown to users who find the output held; may be set later, as ``lease.run_id``.
        slices: number of drivers that share the run; a driver waits for other slices of its own run.
        ttl_s: seconds without a sign of life after which others may take over.
        on_lost: called once, in another thread, after a takeover, or when the file could not be renewed for ``ttl_s``,
            so that a takeover is possible; receives the error that `Lease.check` raises from then on.

    Raises:
        HeldError: another run holds the output.
        JobError: the output cannot be written, or its store cannot exclude a second driver.
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


def is_free(root: str, storage: Storage, *, ttl_s: float) -> bool:
    """Returns True if no live process holds ``root``. May wait for the holder's ``ttl_s``, or for the ``ttl_s`` given
    here if the lease cannot be read.
    """
    files = _lease_files(root, storage)
    number = files.highest()
    try:
        return not number or _falls_free(files, number, ttl_s)
    except HeldError:
        return False


def _lease_files(root: str, storage: Storage) -> LeaseFiles:
    # Replaces the user's own time limit, which may be longer than the lease.
    return LeaseFiles(root, Storage({**storage.options, "timeout": _TIMEOUT}, _RETRY))


@dataclass(frozen=True)
class FencingToken:
    """Lets a worker check that its driver still holds the output; small to pickle."""

    files: LeaseFiles
    number: int
    staging: str

    def is_held(self) -> bool:
        """Returns True if no other driver has taken over; needs one listing.

        Must be called immediately before a put: a put in flight to an object store cannot be cancelled.
        """
        highest = self.files.highest()
        # Lower if the folder was emptied, or if a network file system hides a file while it is being replaced.
        return highest == self.number or (highest < self.number and self.files.read(self.number) is not None)


class Lease:
    """A lease on an output, acquired and released by `hold`."""

    def __init__(self, token: FencingToken, holder: Holder, staging: Staging) -> None:
        self.token = token
        self._staging = staging
        self.run_id = holder.run_id
        self._holder = holder
        self._num_beats = 0
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None
        self._lost: Exception | None = None

    def check(self) -> None:
        """Checks that the output is still held. Must be called before anything is published.

        Raises:
            LostLeaseError: the output is no longer held.
            CredentialsError, OutputError: the lease could not be renewed for this reason.
        """
        if self._lost is not None:
            raise self._lost
        if not self.token.is_held():
            raise _lost(self.token.files.root, _TAKEN)

    def start_beating(self, on_lost: Callable[[Exception], None]) -> None:
        # A daemon: a driver that fails elsewhere must not be kept alive, nor its output held, by this thread.
        self._beating = threading.Thread(target=self._beat_until_lost, args=(on_lost,), name="lease", daemon=True)
        self._beating.start()

    def release(self) -> None:
        self._stop.set()
        if self._beating is not None:
            self._beating.join(_LAST_BEAT_S)
        if self._lost is not None:
            return
        try:
            # Before the release, so that once another driver may begin, no writer of this one can rename a file into
            # place.
            self._staging.close()
            self._write(released=True)
            self.token.files.delete_below(self.token.number)
        except (CredentialsError, OSError, BaseError) as error:
            LOG.warning("output.path=%s: its lease was not released: %s", self.token.files.root, one_line(error))

    def _beat_until_lost(self, on_lost: Callable[[Exception], None]) -> None:
        ttl_s, good_at = self._holder.ttl_s, time.monotonic()
        while self._lost is None and not self._stop.wait(ttl_s / _BEATS_A_TTL):
            tried_at = time.monotonic()
            try:
                if self.token.is_held() and self.token.files.is_of(self.token.number, self._holder):
                    self._write(released=False)
                    # Taken before the write, because others may see the change at once and count from then on.
                    good_at = tried_at
                else:
                    self._lost = _lost(self.token.files.root, _TAKEN)
            except (CredentialsError, OSError, BaseError) as error:
                LOG.warning("output.path=%s: its lease was not renewed: %s", self.token.files.root, one_line(error))
                if time.monotonic() - good_at >= ttl_s:
                    self._lost = _not_renewed(self.token.files.root, ttl_s, error)
        if self._lost is not None and not self._stop.is_set():
            on_lost(self._lost)

    def _write(self, *, released: bool) -> None:
        self._num_beats += 1
        content = replace(self._holder, run_id=self.run_id, beat=self._num_beats, released=released)
        self.token.files.write(self.token.number, content)


_BEATS_A_TTL = 6  # some may fail before the lease expires
_LOOKS_A_TTL = 60  # of a waiting driver: it stops soon after the holder's next beat
_TIMEOUT = "10s"  # obstore's default of 30 s is an entire ttl: one hung connection would lose the lease
_RETRY = Retry(attempts=2, first_wait_s=0.2, max_wait_s=2.0)  # the next beat is the third attempt
_LAST_BEAT_S = 15.0  # longer than one request: a beat arriving after the release would undo it
_TAKEN = "another run took over, having seen no sign of life of this one, or somebody removed its lease"


def _lost(root: str, why: str) -> LostLeaseError:
    return LostLeaseError(
        f"output.path={root}: {why}; nothing was published\n"
        "  fix: start the job again once no other run holds the output; it resumes this one"
    )


def _not_renewed(root: str, ttl_s: float, error: Exception) -> Exception:
    """Returns the error for a lease that could not be renewed: its cause if known, as no other run is to blame."""
    if isinstance(error, CredentialsError):
        return CredentialsError(f"output.path={redacted(root)}: {error}")
    if problem := write_problem(error, root):
        return OutputError(problem)
    return _lost(root, f"its lease could not be renewed for {ttl_s:g} s: {one_line(error)}")


@contextmanager
def _naming_the_output(root: str) -> Iterator[None]:
    """Converts permanent errors on first access to the output to errors that name it."""
    try:
        yield
    except (OSError, BaseError) as error:
        if transient_kind(error):
            raise
        raise cannot_be_written(root, error) from error


def cannot_be_written(path: str, error: Exception) -> JobError | OutputError:
    """Returns JobError for a failed write if `output.path` is missing or not ours, OutputError if the disk is full."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM and (problem := write_problem(error, path)):
        return OutputError(problem)
    return JobError(
        f"output.path={path}: cannot be written: {one_line(error)}",
        fix="give a folder or prefix that you can write to, and its region and credentials in output.storage_options",
    )


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def _acquire(files: LeaseFiles, holder: Holder) -> int:
    """Acquires the lease for ``holder`` and returns its number."""
    while True:
        number = files.highest()
        try:
            if number and not _falls_free(files, number, holder.ttl_s):
                continue
        except HeldError as error:
            if not error.is_shared_with(holder):
                raise
            continue
        # Others may have acquired, released, and deleted lower numbers since the listing: list again.
        if files.create(number + 1, holder) and files.highest() == number + 1:
            files.check_store(number + 1, holder)
            # Some stores check, then write: of two concurrent creates, the last one wins.
            if files.highest() == number + 1 and files.is_of(number + 1, holder):
                return number + 1


def _falls_free(files: LeaseFiles, number: int, ttl_s: float) -> bool:
    """Waits until the lease of that number may be taken over; False if others did. An unreadable lease counts as dead.

    Raises:
        HeldError: its holder is alive.
    """
    first, first_at = files.read(number), time.monotonic()
    while files.highest() == number:
        asked_at = time.monotonic()
        content = files.read(number)
        holder = Holder.from_bytes(content or b"")
        if holder is not None and (holder.released or holder.is_dead()):
            return True
        # None: a network file system may briefly hide the file while it is being replaced.
        if content not in (first, None):
            raise _held(files, number, holder)
        limit_s = ttl_s if holder is None else holder.ttl_s
        # Measured from after the first response to before the last request: slow storage only prolongs the wait.
        if asked_at - first_at >= limit_s:
            LOG.warning("output.path=%s: taken over: %g s without a sign of life of %s", files.root, limit_s, holder)
            return True
        time.sleep(limit_s / _LOOKS_A_TTL)
    return False


def _held(files: LeaseFiles, number: int, holder: Holder | None) -> HeldError:
    who = holder or f"a process whose lease cannot be read ({files.uri(number)})"
    return HeldError(
        f"output.path={files.root}: another run holds this output: {who}\n"
        "  fix: wait for its end, or stop it, or choose another output.path",
        holder,
    )
