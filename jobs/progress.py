"""What a person sees while a job runs: a live line on a terminal, or a log line every few seconds. Runs on the
driver, in a thread of its own; an actor counts what the predictors report.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = logging.getLogger("shardlens")


class Tally:
    """Counts images as they are predicted. For show: what counts in the end is read from the parts."""

    def __init__(self) -> None:
        self._num_ok = 0
        self._num_errors = 0
        self._engine: dict[str, str] = {}

    def started(self, engine: dict[str, str]) -> None:
        """An actor has loaded its model; ``engine`` says what executes it."""
        self._engine = engine

    def engine(self) -> dict[str, str]:
        return self._engine

    def add(self, num_ok: int, num_errors: int) -> None:
        self._num_ok += num_ok
        self._num_errors += num_errors

    def counts(self) -> tuple[int, int]:
        return self._num_ok, self._num_errors


@dataclass(frozen=True)
class Moment:
    """The state of a run at one time."""

    num_done: int
    num_errors: int
    total: int
    images_per_s: float
    """Since the first images were done, so that the start of the actors does not count; 0 until it is known."""

    def __str__(self) -> str:
        left = (self.total - self.num_done) / self.images_per_s if self.images_per_s else None
        return (
            f"{self.num_done:,} of {self.total:,} images, {self.images_per_s:,.1f} images/s, "
            f"{self.num_errors:,} errors, {'time left unknown' if left is None else f'{_duration(left)} left'}"
        )


@contextmanager
def show_progress(total: int, *, log_every_s: float = 5.0) -> Iterator[Any]:
    """Shows how far the run is until the end of the block; gives the actor that predictors report to."""
    tally: Any = ray.remote(num_cpus=0)(Tally).remote()
    stop = threading.Event()
    show = _show_live if sys.stderr.isatty() else _show_lines
    thread = threading.Thread(target=show, args=(tally, total, stop, log_every_s), daemon=True)
    thread.start()
    try:
        yield tally
    finally:
        stop.set()
        thread.join(timeout=5)


def _moments(tally: Any, total: int, stop: threading.Event, every_s: float) -> Iterator[Moment]:
    """The state every ``every_s`` seconds until the end."""
    first_at, num_first = 0.0, 0
    while not stop.wait(every_s):
        try:
            num_ok, num_errors = ray.get(tally.counts.remote(), timeout=10)
        except RayError:  # the cluster is going down, or too busy to count
            continue
        now = time.monotonic()
        num_done = num_ok + num_errors
        if not num_first:
            first_at, num_first = now, num_done
        seconds = now - first_at
        yield Moment(num_done, num_errors, total, (num_done - num_first) / seconds if seconds else 0.0)


def _show_lines(tally: Any, total: int, stop: threading.Event, every_s: float) -> None:
    for moment in _moments(tally, total, stop, every_s):
        LOG.info("%s", moment)


def _show_live(tally: Any, total: int, stop: threading.Event, every_s: float) -> None:  # noqa: ARG001
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.1f} images/s, {task.fields[errors]:,} errors"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("", total=total, rate=0.0, errors=0)
        for moment in _moments(tally, total, stop, _LIVE_S):
            progress.update(task, completed=moment.num_done, rate=moment.images_per_s, errors=moment.num_errors)


_LIVE_S = 0.5


def _duration(seconds: float) -> str:
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"
