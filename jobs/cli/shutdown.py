"""Early ends of a job: SIGTERM, Ctrl-C, and interrupts by other threads. Runs on the driver's main thread."""

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
    """SIGTERM or Ctrl-C. Not an Exception, so that no `except Exception` catches it."""


_AT_ONCE_S = 0.001  # the timer of a signal: 0 would disarm it


class Shutdown:
    """Ends the job: at once, or, while it is `draining`, once the images in flight are done.

    The job runs in the main thread, and SIGALRM interrupts it there. In a thread of its own it could not be
    interrupted: Python can raise in another thread only between bytecodes, which a blocked ``ray.get`` or storage call
    never reaches, while a signal ends the call.

    Args:
        grace_s: seconds that images in flight have to be finished.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._asked = threading.Event()
        self._can_drain = False
        self._error: BaseException = StoppedError()

    @property
    def is_asked(self) -> bool:
        """True if no more images are to be read."""
        return self._asked.is_set()

    def install(self) -> None:
        """Installs the signal handlers. Main thread only; `connect` keeps them where Ray replaces them."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)

    def ask(self) -> None:
        """Asks for an orderly end, from any thread; raises `StoppedError` in the main thread after the grace period."""
        if not self._asked.is_set():
            # Before the timer: `interrupt`, in another thread, sets its timer first and then looks at this.
            self._asked.set()
            self._raise_in(self._grace_s, StoppedError())

    def interrupt(self, error: BaseException, after_s: float = _AT_ONCE_S) -> None:
        """Raises ``error`` in the main thread, from any thread. A later call replaces it; so does a request to stop."""
        if not self.is_asked:
            self._raise_in(after_s, error)
        if self.is_asked:  # asked in between: the grace period holds
            self._raise_in(self._grace_s, StoppedError())

    # One timer for all: a process has a single ITIMER_REAL, and setting it again replaces what was pending.
    def _raise_in(self, seconds: float, error: BaseException) -> None:
        self._error = error
        signal.setitimer(signal.ITIMER_REAL, seconds)

    @contextmanager
    def draining(self) -> Iterator[None]:
        """Makes the first signal ask and only the second one raise, until the end of the block."""
        self._can_drain = True
        try:
            yield
        finally:
            self._can_drain = False
            signal.setitimer(signal.ITIMER_REAL, 0)  # it must not hit what follows, such as the commit

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._can_drain and not self.is_asked:
            LOG.warning("stopping: images in flight have %.0f s; a second signal stops at once", self._grace_s)
            self.ask()
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # a further signal ends the process
        raise StoppedError

    def _on_alarm(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        raise self._error
