"""How a job ends before its end: SIGTERM and Ctrl-C, and what other threads find. Runs on the driver's main thread."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

LOG = logging.getLogger("shardlens")


class StoppedError(BaseException):
    """SIGTERM or Ctrl-C. Not an Exception, so that no guard on the way takes it for an error of its own."""


_AT_ONCE_S = 0.001


class Shutdown:
    """Tells the job to end: at once, or while it is `draining`, when what is in flight is done.

    Args:
        grace_s: seconds that what is in flight has.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._asked = threading.Event()
        self._can_drain = False
        self._error: BaseException = StoppedError()

    @property
    def is_asked(self) -> bool:
        """Whether no more images are to be taken in."""
        return self._asked.is_set()

    def install(self) -> None:
        """Takes the signals; to be called again after a library has put its own handlers in place of ours."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)

    def ask(self) -> None:
        """From any thread: no more images; `StoppedError` in the main thread if the grace period is not enough."""
        if not self._asked.is_set():
            self._asked.set()
            self._raise_in(self._grace_s, StoppedError())

    def interrupt(self, error: BaseException, after_s: float = _AT_ONCE_S) -> None:
        """From any thread: raises ``error`` in the main thread, unless called again meanwhile, or told to stop."""
        if not self.is_asked:
            self._raise_in(after_s, error)
        if self.is_asked:  # by now: the grace period counts
            self._raise_in(self._grace_s, StoppedError())

    def _raise_in(self, seconds: float, error: BaseException) -> None:
        self._error = error
        signal.setitimer(signal.ITIMER_REAL, seconds)

    @contextmanager
    def draining(self) -> Iterator[None]:
        """Until the end of the block a first signal only asks; the second one raises."""
        self._can_drain = True
        try:
            yield
        finally:
            self._can_drain = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._can_drain and not self.is_asked:
            LOG.warning("stopping: what is in flight has %.0f s to end; once more stops at once", self._grace_s)
            self.ask()
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # one more ends the process
        raise StoppedError

    def _on_alarm(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        raise self._error
