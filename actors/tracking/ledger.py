"""Ledger of the work in flight, one per run. Finds images that kill their workers, and recognises when no image is to
blame. Plain Python; the Ray actor around it is in `jobs.dataflow`.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from actors.errors import ImageError
from actors.tracking.attempts import LOAD, PREDICT, READ, Instructions
from actors.tracking.ledger_events import LedgerEvent
from actors.tracking.metric_counts import QUARANTINED, WORKER_DEATHS, Flow, add, written
from actors.tracking.open_work import UNKNOWN, ExitReason, OpenWork
from actors.tracking.progress_counts import Pace, Tally
from actors.tracking.quarantine import Case, Quarantine
from actors.tracking.work_states import Lesson, Signal, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.tracking.attempts import Row, Work


class View(NamedTuple):
    """Snapshot of a ledger for the driver."""

    num_ok: int
    num_errors: int
    events: list[LedgerEvent]
    """Events since the last snapshot."""
    overdue: list[LedgerEvent]
    """Work that has been silent for too long, each attempt reported once."""
    num_signs: int
    """Signs of life so far, from any worker."""
    flow: Flow = {}  # noqa: RUF012  views are never written to
    """Counts for metrics so far."""


class Ledger:
    """Follows each piece of work through the states of `work_states`, and learns from the deaths of workers.

    Finished work is forgotten: if it recurs after the loss of a node, no worker is presumed dead.

    A worker killed externally costs only careful work: an image is quarantined only after two deaths while it was
    processed alone. Retries are bounded: each death makes a batch careful, blames an image, or teaches nothing. The
    work fails after 4 consecutive deaths that taught nothing, 100 consecutive deaths while waiting before one batch, or
    3 quarantined images in a stage that no image has ever passed.

    Signals forbidden by the tables are late ones, from a worker presumed dead, and are ignored.

    Args:
        stall_s: time limit for workers; None for no limit.
        clock: returns seconds.
    """

    def __init__(self, stall_s: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_s = stall_s
        self._clock = clock
        self._open: dict[Work, OpenWork] = {}
        self._quarantine = Quarantine()
        self._passed: set[str] = set()  # stages that an image has passed
        self._tally = Tally()
        self._events: deque[LedgerEvent] = deque(maxlen=_MAX_EVENTS)
        self._is_draining = False
        self._num_signs = 0
        self._engine: dict[str, str] = {}
        self._flow: Flow = {}

    def begin(self, work: Work, worker: str) -> Instructions:
        """Records that ``worker`` begins ``work``. If the work is already in flight, its worker has died."""
        entry = self._open.pop(work, None)
        if entry is not None:
            self._record_death(work, entry)
        if self._is_draining and work.stage == READ:
            return Instructions(stop=True)
        if failure := self._failure(work, entry):
            return Instructions(failure=failure)
        entry = self._open[work] = entry or OpenWork()
        entry.worker, entry.is_reported = worker, False
        self._advance(work, entry.start_signal(work.first))
        entry.batch = work.first
        cases = self._quarantine.within(work)
        careful = entry.careful | {case.batch for case in cases.values() if case.batch is not None}
        return Instructions(self._stall_s, frozenset(careful), {row: case.error for row, case in cases.items()})

    def start_batch(self, work: Work, row: Row) -> bool:
        """Records that the batch starting at ``row`` is next; returns True if the worker should stop instead."""
        entry = self._open.get(work, _CLOSED)
        if self._advance(work, entry.start_signal(row)):
            entry.batch = row
        return self._is_draining

    def start_image(self, work: Work, row: Row, stage: str) -> None:
        """Records that image ``row`` is next, alone; ``stage`` is the error's stage if the worker dies."""
        if self._advance(work, Signal.START_IMAGE, image=row):
            self._open[work].stage = stage

    def finish_batch(self, work: Work, next_row: Row | None) -> None:
        """Records that a batch is done and waits to be passed on; ``next_row`` starts the next one, if any."""
        entry = self._open.get(work, _CLOSED)
        was_whole = entry.state is State.WHOLE_BATCH
        if self._advance(work, entry.finish_signal(next_row)):
            entry.batch = next_row
            if was_whole:
                self._passed.add(work.stage)

    def report_exit(self, work: Work, kind: str, reason: str) -> None:
        """Records why the worker is about to exit."""
        if entry := self._open.get(work):
            entry.exit_reason = ExitReason(kind, reason)
            self._report(work, entry, f"{work}: the worker {entry.worker} ends itself at {entry.stage}: {reason}")

    def end(self, work: Work, num_ok: int = 0, num_errors: int = 0, flow: Flow | None = None) -> None:
        """Records that the work is done, with its counts, or was abandoned by a live worker, without counts."""
        self._open.pop(work, None)
        self._num_signs += 1
        if self._tally.add(work, num_ok, num_errors, at_s=self._clock()):
            add(self._flow, flow or {})
        if num_ok:
            self._passed.add(work.stage)

    def count_part(self, seconds: float, num_bytes: int) -> None:
        """Counts a part file; rewritten files count again."""
        add(self._flow, written(seconds, num_bytes))

    def set_engine(self, engine: dict[str, str]) -> None:
        """Records the engine that executes the model, once one is loaded."""
        self._engine = engine

    def engine(self) -> dict[str, str]:
        return self._engine

    def pace(self) -> Pace:
        return self._tally.pace

    def drain(self) -> None:
        """Stops reading further batches; batches already read pass through."""
        self._is_draining = True

    def snapshot(self, overdue_s: float | None = None) -> View:
        """Returns counts, events since the last snapshot, and work silent for ``overdue_s``."""
        events = list(self._events)
        self._events.clear()
        overdue = [] if overdue_s is None else self._overdue(overdue_s)
        return View(self._tally.num_ok, self._tally.num_errors, events, overdue, self._num_signs, dict(self._flow))

    def _advance(self, work: Work, signal: Signal, image: Row | None = None) -> bool:
        """Counts a sign of life and moves the work to its next state; returns False if the signal is late."""
        self._num_signs += 1
        entry = self._open.get(work)
        if entry is None or not entry.advance(signal):
            return False
        if entry.image not in (None, image):
            self._passed.add(work.stage)
        entry.last_signal_s, entry.image, entry.stage = self._clock(), image, work.stage
        entry.exit_reason = UNKNOWN  # a worker that still shows signs of life did not exit
        return True

    def _record_death(self, work: Work, entry: OpenWork) -> None:
        add(self._flow, {(WORKER_DEATHS, work.stage): 1})
        lesson, image = entry.die(), entry.image
        entry.image = None
        died = f"{work}: the worker {entry.worker} died at {work.stage}"
        if lesson is Lesson.BLAME_IMAGE and image is not None:
            died = (
                f"{_name(image)}: the worker {entry.worker} died at {entry.stage} while it processed this image alone"
            )
            self._report(work, entry, died, image)
            if len(entry.kills[image]) == _MAX_KILLS:
                self._give_up(image, work, entry)
        elif lesson is Lesson.SUSPECT_BATCH and entry.batch is not None:
            self._report(work, entry, f"{died}; retrying image by image from row {entry.batch[1]} on")
        elif lesson is Lesson.NOTHING:
            self._report(work, entry, f"{died}; retrying")

    def _give_up(self, image: Row, work: Work, entry: OpenWork) -> None:
        reasons = entry.kills.pop(image)
        kind, reason = reasons[-1] if len({reason.kind for reason in reasons}) == 1 else UNKNOWN
        message = f"{reason}, {_MAX_KILLS} times with this image alone; last on {entry.worker}"
        self._quarantine.add(work.stage, image, Case(ImageError(entry.stage, kind, message), entry.batch))
        add(self._flow, {(QUARANTINED, work.stage): 1})
        self._report(work, entry, f"{_name(image)}: quarantined: {entry.stage}/{kind}: {message}", image)

    def _report(self, work: Work, entry: OpenWork, text: str, image: Row | None = None) -> None:
        about_image = None if image is None else LedgerEvent(text, image[0], entry.worker)
        self._events.append(about_image or LedgerEvent.of(work, entry.worker, text))

    def _failure(self, work: Work, entry: OpenWork | None) -> str | None:
        """Returns the reason not to retry, if any."""
        num_quarantined = self._quarantine.num_images(work.stage)
        if num_quarantined >= _MAX_QUARANTINED and work.stage not in self._passed:
            return f"{_CULPRIT[work.stage]} its worker at {num_quarantined} images in a row, and no image got through"
        if entry is not None and entry.num_waiting >= _MAX_WAITING:
            return (
                f"{work}: the worker died {entry.num_waiting} times while it did not {work.stage}; memory may be short"
            )
        if entry is None or entry.num_fruitless < _MAX_FRUITLESS:
            return None
        died = f"died {entry.num_fruitless} times in a row, last on {entry.worker}"
        if work.stage == LOAD:
            return f"loading the model killed its worker: it {died}; memory may be short"
        return f"{work}: the worker {died} at {work.stage}, and no image can be blamed"

    def _overdue(self, seconds: float) -> list[LedgerEvent]:
        deadline_s = self._clock() - seconds
        found = []
        for work, entry in self._open.items():
            is_waiting = entry.state in (State.READING_AHEAD, State.WAITING)
            if not (is_waiting or entry.is_reported) and entry.last_signal_s <= deadline_s:
                entry.is_reported = True
                text = f"{work}: at {work.stage} on {entry.worker} for more than {seconds:g} s"
                found.append(LedgerEvent.of(work, entry.worker, text))
        return found


_CLOSED = OpenWork()  # stands in for work not in flight; never changed

_MAX_KILLS = 2  # one death can be chance, such as the out-of-memory killer
_MAX_FRUITLESS = 4  # consecutive deaths; one or two may be external, as for _MAX_KILLS
_MAX_WAITING = 100  # more than a batch full of images that kill the predictor is likely to need
_MAX_QUARANTINED = 3  # at the start of a run: beyond this, the model is to blame, not the images
_MAX_EVENTS = 1000  # the oldest are dropped if the driver does not poll
_CULPRIT = {READ: "reading and decoding killed", PREDICT: "the model killed", LOAD: ""}


def _name(row: Row) -> str:
    return f"shard {row[0]}, row {row[1]}"
