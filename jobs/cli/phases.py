"""Logs the phase of a command while nothing else shows that it is working. Runs on the driver."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = logging.getLogger("shardlens")

SILENT_S = 3.0
"""Seconds without a log line after which the phase is logged. Below the promised 5 s, because an exporter may block the
interpreter for two."""


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Logs ``name`` and its seconds whenever nothing else has been logged for `SILENT_S`.

    Of nested phases, the innermost is logged; one without a name logs nothing. While a phase is open, phases of other
    threads are ignored.
    """
    if not _is_owner():
        yield
        return
    _OPEN.append(_Phase(name))
    try:
        if len(_OPEN) == 1:
            with _Ticker().running():
                yield
        else:
            yield
    finally:
        _OPEN.pop()
        if _OPEN:
            _OPEN[-1] = replace(_OPEN[-1], since=time.monotonic())


def show_detail(text: str) -> None:
    """Adds ``text``, such as a count, to the next lines of the innermost phase, replacing an earlier one."""
    if _OPEN and _is_owner():
        _OPEN[-1] = replace(_OPEN[-1], detail=text)


def _is_owner() -> bool:
    return not _OPEN or _OPEN[0].thread == threading.get_ident()


@dataclass(frozen=True)
class _Phase:
    """An open phase."""

    name: str
    thread: int = field(default_factory=threading.get_ident)
    since: float = field(default_factory=time.monotonic)
    """Time since which it is the innermost."""
    detail: str = ""


_OPEN: list[_Phase] = []
"""From the outermost to the innermost; only the thread that opened the first changes it."""


@dataclass
class _Ticker:
    """Logs the innermost phase from a thread."""

    began: float = field(default_factory=time.monotonic)
    logged: float = field(default_factory=time.monotonic)
    """Time of the last log line of any kind."""
    is_over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="phases", daemon=True)
        LOG.addFilter(self._note)
        thread.start()
        try:
            yield
        finally:
            self.is_over.set()
            thread.join()
            LOG.removeFilter(self._note)

    def _note(self, record: logging.LogRecord) -> bool:
        self.logged = time.monotonic()
        return bool(record)

    def _run(self) -> None:
        while not self.is_over.wait(_LOOK_S):
            current, now = _OPEN[-1], time.monotonic()
            own_s = now - current.since
            if current.name and now - self.logged >= SILENT_S and own_s >= _LOOK_S:
                own, whole = f"{own_s:.0f} s", f"{now - self.began:.0f} s"
                detail = f", {current.detail}" if current.detail else ""
                more = f", {whole} since the start" if own != whole else ""
                extra = {"phase": current.name, "phase_s": round(own_s, 1)}
                LOG.info("%s: %s%s%s", current.name, own, detail, more, extra=extra)


_LOOK_S = 0.25  # also the minimum age of a logged phase: shorter ones, such as cleanup after an error, are not logged
