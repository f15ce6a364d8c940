"""Shows the progress of a running job as a live line on a terminal or a log line every few seconds, and the ledger's
events. Runs on the driver, in a thread that also checks the stop conditions.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from ray.exceptions import RayError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from jobs.cli.logs import is_for_machines
from jobs.cli.phases import phase
from jobs.dataflow.ledger_actor import start_ledger
from jobs.job import RunConfig
from jobs.reporting.moment import Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.tracking.ledger import View
    from jobs.dataflow.ledger_actor import RemoteLedger
    from jobs.reporting.metrics import Metrics

LOG = logging.getLogger("shardlens")


@contextmanager
def follow(
    total: int,
    already_done: int = 0,
    *,
    stall_s: float | None = None,
    should_stop: Callable[[View], bool],
    metrics: Metrics | None = None,
    progress_s: float = RunConfig.progress_s,
) -> Iterator[RemoteLedger]:
    """Starts a ledger for the workers, and shows progress and events while the context is active.

    Args:
        total: number of images of the run.
        already_done: number of images done by earlier attempts. All other counts belong to this attempt only.
        stall_s: the ledger's limit; work that takes twice as long is logged.
        should_stop: called once or twice a second, in another thread, as long as the ledger responds. After it returns
            True, no more images are read, and the pipeline ends by itself. The counts are for display: images whose
            worker died may count twice. The parts have the true counts.
        metrics: receives the same counts.
        progress_s: `run.progress_s`.
    """
    with phase("starting the ledger"):
        ledger = start_ledger(stall_s)
    watch = ProgressLoop(
        ledger, total, already_done, None if stall_s is None else 2 * stall_s, should_stop, metrics, progress_s
    )
    is_live = sys.stderr.isatty() and not is_for_machines()
    # A daemon: a hung call to Ray must not keep the command from ending.
    thread = threading.Thread(target=watch.show_live if is_live else watch.show_lines, daemon=True)
    thread.start()
    try:
        yield ledger
    finally:
        watch.is_over.set()
        thread.join(timeout=2 * _LOOK_TIMEOUT_S)


@dataclass
class ProgressLoop:
    """Polls the ledger until `is_over`."""

    ledger: RemoteLedger
    total: int
    already_done: int
    overdue_s: float | None
    """Age at which an attempt is logged; None logs none."""
    should_stop: Callable[[View], bool]
    metrics: Metrics | None
    progress_s: float
    is_over: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)
    _is_draining: bool = False
    _first: tuple[float, int] | None = None
    """Time and count of the first results."""

    def show_lines(self) -> None:
        shown_at = time.monotonic()
        for moment in self._moments():
            if time.monotonic() - shown_at >= self.progress_s - _LOOK_EVERY_S:
                shown_at = time.monotonic()
                LOG.info("%s", self._text(moment), extra=asdict(moment))

    def show_live(self) -> None:
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        # No redirect_stdout: it would send results to this line's console, standard error.
        with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
            task = progress.add_task("", total=self.total, rate="")
            for moment in self._moments():
                progress.update(task, completed=moment.num_done, rate=self._rate(moment))

    def _text(self, moment: Moment) -> str:
        return str(moment) if self._first else f"{self._loading}; {moment}"

    def _rate(self, moment: Moment) -> str:
        """Returns the text of the live line beside its bar and count."""
        rate = f"{moment.images_per_s:,.1f} images/s, " if moment.images_per_s else ""
        return f"{rate}{moment.num_errors:,} errors" if self._first else self._loading

    @property
    def _loading(self) -> str:
        return f"loading workers: {time.monotonic() - self.began:.0f} s"

    def _moments(self) -> Iterator[Moment]:
        """Yields the state every half second, and again at the end."""
        is_over = False
        while not is_over:
            is_over = self.is_over.wait(_LOOK_EVERY_S)
            try:
                view = self.ledger.snapshot(self.overdue_s, timeout_s=_LOOK_TIMEOUT_S)
                self._drain_if_stopped(view)
            except RayError:  # the cluster is shutting down, or too busy to answer
                continue
            for event in (*view.events, *view.overdue):
                LOG.warning("%s", event.text, extra=event.log_fields)
            moment = self._moment(view)
            if self.metrics is not None:
                self.metrics.record(view.flow, moment)
            yield moment

    def _drain_if_stopped(self, view: View) -> None:
        if self.should_stop(view) and not self._is_draining:
            self.ledger.drain()
            self._is_draining = True  # after the call, which is repeated if it raises

    def _moment(self, view: View) -> Moment:
        now, num_new = time.monotonic(), view.num_ok + view.num_errors
        # The first results count only as the start: a rate would spread them over the seconds in which models load.
        if self._first is None and num_new:
            self._first = now, num_new
        first_at, num_first = self._first or (now, num_new)
        rate = (num_new - num_first) / (now - first_at) if now > first_at else 0.0
        return Moment(self.already_done + num_new, view.num_errors, self.total, rate)


_LOOK_EVERY_S = 0.5  # smooth for a live line; each poll costs the ledger about a millisecond
_LOOK_TIMEOUT_S = 5.0  # allows for a busy driver node; also bounds the exit of `follow`
