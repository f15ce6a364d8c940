"""Ends a worker that comes to nothing. Runs in workers, around each piece of work that may hang."""

from __future__ import annotations

import faulthandler
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STDERR = 2  # the descriptor: a worker's sys.stderr may be no file
_TELLING_S = 2.0


@contextmanager
def limit(seconds: float | None, tell: Callable[[], object]) -> Iterator[None]:
    """Ends the process with status 1 if the block takes longer; None sets no limit. Blocks do not nest.

    First ``tell`` is called, from another thread, and has two seconds. It is not called where C code lets no other
    Python thread run; the end comes all the same, from a thread below Python, which also writes the tracebacks to
    standard error. Only a process that is stuck in the kernel stays.
    """
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, tell)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + _TELLING_S, exit=True, file=_STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        timer.cancel()
