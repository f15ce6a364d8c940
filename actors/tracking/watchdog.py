"""Watchdog that ends a stalled worker. Runs in workers, around any work that may hang."""

from __future__ import annotations

import faulthandler
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STDERR = 2  # the descriptor: a worker's sys.stderr may not be a file
_REPORT_S = 2.0  # time for the report before the process ends


@contextmanager
def limit(seconds: float | None, report: Callable[[], object]) -> Iterator[None]:
    """Ends the process with status 1 if the block exceeds ``seconds``; None for no limit. Blocks do not nest.

    ``report`` is called first, in another thread, and has two seconds. If C code holds the GIL, it is not called, but
    the process still ends, through a `faulthandler` thread that needs no GIL and writes the tracebacks to standard
    error. Only a process stuck in the kernel survives.
    """
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, report)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + _REPORT_S, exit=True, file=_STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        timer.cancel()
