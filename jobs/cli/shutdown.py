"""Ends a job early: on SIGTERM, Ctrl-C, or interrupts by other threads. Runs in the job's thread on the driver."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs.cluster.local_ray import handlers_kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

LOG = logging.getLogger("shardlens")


class StoppedError(BaseException):
    """Stopped by SIGTERM or Ctrl-C. Not an Exception, so that no `except Exception` catches it."""


_AT_ONCE_S = 0.001  # signal timer: 0 would disarm it


class Shutdown:
    """Ends the job: at once, or, while it is `draining`, after the images in flight.

    The job runs in the main thread, and SIGALRM interrupts it there. In another thread it could not be interrupted:
    Python raises there only between bytecodes, which a blocked ``ray.get`` or storage call never reaches, whereas a
    signal ends the call.

    Args:
        grace_s: seconds allowed to finish images in flight.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._asked = threading.Event()
        self._can_drain = False
        self._error: BaseException = StoppedError()
        self._signal: int | None = None

    @property
    def is_asked(self) -> bool:
        """True if no more images are to be read."""
        return self._asked.is_set()

    def install(self) -> None:
        """Installs the signal handlers. Main thread only; `connect` restores those that Ray replaces."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)

    @contextmanager
    def passing_on(self) -> Iterator[None]:
        """Restores the caller's signal handlers on exit, and passes them the signal that ended the job, if any:
        Python's own raises KeyboardInterrupt for Ctrl-C.
        """
        try:
            with handlers_kept(signal.SIGALRM):
                try:
                    yield
                finally:
                    self._disarm()
        finally:
            if self._signal is not None:
                signal.raise_signal(self._signal)

    def ask(self) -> None:
        """Requests an orderly end, from any thread; raises `StoppedError` in the main thread after the grace period."""
        if not self._asked.is_set():
            # Set before the timer: `interrupt`, in another thread, sets its timer first and then reads this.
            self._asked.set()
            self._raise_in(self._grace_s, StoppedError())

    def interrupt(self, error: BaseException, after_s: float = _AT_ONCE_S) -> None:
        """Raises ``error`` in the main thread, from any thread. A later call replaces it; so does a request to stop."""
        if not self.is_asked:
            self._raise_in(after_s, error)
        if self.is_asked:  # requested in between: the grace period applies
            self._raise_in(self._grace_s, StoppedError())

    # One timer for all: a process has a single ITIMER_REAL, and setting it again replaces the pending one.
    def _raise_in(self, seconds: float, error: BaseException) -> None:
        self._error = error
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _disarm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    @contextmanager
    def draining(self) -> Iterator[None]:
        """Makes the first signal request a stop and only the second one raise."""
        self._can_drain = True
        try:
            yield
        finally:
            self._can_drain = False
            self._disarm()  # it must not interrupt what follows, such as the commit

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._signal = signum
        if self._can_drain and not self.is_asked:
            LOG.warning("stopping: images in flight have %.0f s; a second signal stops at once", self._grace_s)
            self.ask()
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # another signal ends the process
        raise StoppedError

    def _on_alarm(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        raise self._error


class ThreadShutdown(Shutdown):
    """Ends a job outside the main thread, which no signal reaches. After an interrupt, the job reads no more images,
    and raises it when those in flight are done.
    """

    def __init__(self, grace_s: float) -> None:
        super().__init__(grace_s)
        self._timer = threading.Timer(0, self._on_timer)
        self._is_due = False

    def install(self) -> None:
        """Installs nothing: signals stay with the main thread."""

    @contextmanager
    def draining(self) -> Iterator[None]:
        with super().draining():
            yield
        if self._is_due:
            self._is_due = False
            raise self._error

    def _raise_in(self, seconds: float, error: BaseException) -> None:
        self._disarm()
        self._error = error
        self._timer = threading.Timer(seconds, self._on_timer)
        self._timer.daemon = True
        self._timer.start()

    def _disarm(self) -> None:
        self._timer.cancel()

    def _on_timer(self) -> None:
        self._is_due = True
        self._asked.set()
