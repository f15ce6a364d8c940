"""Which work is in hand, and what died with it. One ledger for a run, which workers tell what they begin and end; it
finds the images that kill their workers, and knows when it is not the images. Plain Python: Ray's side is in jobs/.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from actors.errors import ImageError
from actors.tracking.attempts import LOAD, PREDICT, READ, Instructions
from actors.tracking.ledger_events import LedgerEvent
from actors.tracking.metric_counts import QUARANTINED, WORKER_DEATHS, Flow, add, written
from actors.tracking.progress_counts import Pace, Tally
from actors.tracking.quarantine import Case, Quarantine

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.tracking.attempts import Row, Work


class View(NamedTuple):
    """What a driver looks at from time to time."""

    num_ok: int
    num_errors: int
    news: list[LedgerEvent]
    """What happened since the last look, each a line for people."""
    overdue: list[LedgerEvent]
    """Work that has been in hand for too long, each told once."""
    num_signs: int
    """Signs of life so far, of any worker."""
    flow: Flow = {}  # noqa: RUF012  nobody writes into a view
    """What went through so far, and what died."""


_NONE = ("killed_worker", "the process that worked on it died")


@dataclass
class _Entry:
    """Work that was begun and not ended."""

    worker: str
    since: float
    """Of the last sign of life."""
    batch: Row | None
    """First row of the batch in hand; while the worker waits, of the next one."""
    image: Row | None = None
    """The image that is being done alone."""
    doing: str = ""
    is_resting: bool = False
    last_words: tuple[str, str] = _NONE
    """What the worker said it would die of: a kind of error, and a sentence."""
    is_told: bool = False
    careful: set[Row] = field(default_factory=set)
    kills: dict[Row, list[tuple[str, str]]] = field(default_factory=dict)
    """Last words at the deaths with an image alone."""
    num_fruitless: int = 0
    """Deaths in turn from which nothing was learned."""
    num_resting: int = 0
    """Deaths in turn while the worker waited before the same batch, or did other work."""
    rested_before: Row | None = None
    """That batch."""


class Ledger:
    """Work that ended is forgotten, so that its coming again, after the loss of a node, is no death.

    A worker that is killed from outside costs nothing but careful work. Only an image that was alone in hand at two
    deaths is quarantined. Every retry ends: each death makes a batch careful, or blames an image, or is fruitless, and
    4 of those in turn are a failure. So are 100 deaths in turn at rest before one batch, and 3 quarantined images of
    one stage through which no image ever went.

    Args:
        stall_s: what workers get as their limit.
        clock: seconds.
    """

    def __init__(self, stall_s: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_s = stall_s
        self._clock = clock
        self._entries: dict[Work, _Entry] = {}
        self._quarantine = Quarantine()
        self._went_through: set[str] = set()
        self._tally = Tally()
        self._news: deque[LedgerEvent] = deque(maxlen=_MAX_NEWS)
        self._is_draining = False
        self._num_signs = 0
        self._engine: dict[str, str] = {}
        self._flow: Flow = {}

    def begin(self, work: Work, worker: str) -> Instructions:
        """Takes ``work`` in hand. If it is in hand already, the worker that began it has died."""
        entry = self._entries.pop(work, None)
        if entry is not None:
            self._bury(work, entry)
        if self._is_draining and work.stage == READ:
            return Instructions(stop=True)
        if failure := self._failure(work, entry):
            return Instructions(failure=failure)
        entry = entry or _Entry(worker, 0, None)
        entry.worker, entry.batch, entry.is_told = worker, work.first, False
        self._entries[work] = entry
        self._sign(work)
        cases = self._quarantine.within(work)
        careful = entry.careful | {case.batch for case in cases.values() if case.batch is not None}
        return Instructions(self._stall_s, frozenset(careful), {row: case.error for row, case in cases.items()})

    def reach(self, work: Work, row: Row) -> bool:
        """The batch that begins with ``row`` is next; gives whether to stop instead."""
        if entry := self._sign(work):
            entry.batch = row
        return self._is_draining

    def note(self, work: Work, row: Row, doing: str) -> None:
        """The image ``row`` is next, alone; ``doing`` will be the stage of its error."""
        if entry := self._sign(work, image=row):
            entry.doing = doing

    def rest(self, work: Work, row: Row | None) -> None:
        """A batch is done and the worker waits to hand it on; ``row`` begins the next one, if any."""
        if entry := self._sign(work):
            if entry.batch not in entry.careful:
                self._went_through.add(work.stage)
            entry.batch, entry.is_resting = row, True

    def die(self, work: Work, kind: str, reason: str) -> None:
        """The worker is about to end itself."""
        if entry := self._entries.get(work):
            entry.last_words = kind, reason
            self._tell(work, entry, f"{work}: the worker {entry.worker} ends itself at {entry.doing}: {reason}")

    def end(self, work: Work, num_ok: int = 0, num_errors: int = 0, flow: Flow | None = None) -> None:
        """The work is done, with so many images, and more counts of them; or it was given up by a worker that lives."""
        self._entries.pop(work, None)
        self._num_signs += 1
        if self._tally.add(work, num_ok, num_errors, at_s=self._clock()):
            add(self._flow, flow or {})
        if num_ok:
            self._went_through.add(work.stage)

    def wrote(self, seconds: float, num_bytes: int) -> None:
        """A part file was written, maybe not for the first time."""
        add(self._flow, written(seconds, num_bytes))

    def loaded(self, engine: dict[str, str]) -> None:
        """A model is loaded; ``engine`` says what executes it."""
        self._engine = engine

    def engine(self) -> dict[str, str]:
        return self._engine

    def pace(self) -> Pace:
        return self._tally.pace

    def drain(self) -> None:
        """From now on nothing more is read; what was read goes on."""
        self._is_draining = True

    def look(self, overdue_s: float | None = None) -> View:
        """Counts, news, and the work that gave no sign of life for ``overdue_s``."""
        news = list(self._news)
        self._news.clear()
        overdue = [] if overdue_s is None else self._overdue(overdue_s)
        return View(self._tally.num_ok, self._tally.num_errors, news, overdue, self._num_signs, dict(self._flow))

    def _sign(self, work: Work, image: Row | None = None) -> _Entry | None:
        """A sign of life; None from a worker that was taken for dead and whose work another has done."""
        self._num_signs += 1
        entry = self._entries.get(work)
        if entry is not None:
            if entry.image not in (None, image):
                self._went_through.add(work.stage)
            entry.since, entry.image, entry.doing = self._clock(), image, work.stage
            entry.is_resting, entry.last_words = False, _NONE
        return entry

    def _bury(self, work: Work, entry: _Entry) -> None:
        """Learns from the death of a worker."""
        batch, image, entry.image = entry.batch, entry.image, None
        add(self._flow, {(WORKER_DEATHS, work.stage): 1})
        died = f"{work}: the worker {entry.worker} died at {work.stage}"
        if image is not None:
            entry.num_fruitless = 0
            kills = entry.kills.setdefault(image, [])
            kills.append(entry.last_words)
            alone = f"died at {entry.doing} with this image alone in hand"
            self._tell(work, entry, f"{_name(image)}: the worker {entry.worker} {alone}", image)
            if len(kills) == _MAX_KILLS:
                self._give_up_on(image, work, entry)
        elif batch is not None and batch not in entry.careful:
            entry.num_fruitless = 0
            entry.careful.add(batch)
            self._tell(work, entry, f"{died}; again, image by image from row {batch[1]} on")
        elif entry.is_resting:  # a predictor that reads on its own dies of what it predicts, which is work of its own
            entry.num_resting = entry.num_resting + 1 if batch == entry.rested_before else 1
            entry.rested_before = batch
        else:
            entry.num_fruitless += 1
            self._tell(work, entry, f"{died}; again")

    def _give_up_on(self, image: Row, work: Work, entry: _Entry) -> None:
        last_words = entry.kills.pop(image)
        kind, reason = last_words[-1] if len({kind for kind, _ in last_words}) == 1 else _NONE
        message = f"{reason}, {_MAX_KILLS} times with this image alone; last on {entry.worker}"
        self._quarantine.add(work.stage, image, Case(ImageError(entry.doing, kind, message), entry.batch))
        add(self._flow, {(QUARANTINED, work.stage): 1})
        self._tell(work, entry, f"{_name(image)}: quarantined: {entry.doing}/{kind}: {message}", image)

    def _tell(self, work: Work, entry: _Entry, text: str, image: Row | None = None) -> None:
        news = (
            LedgerEvent.of(work, entry.worker, text)
            if image is None
            else LedgerEvent(text, shard=image[0], worker=entry.worker)
        )
        self._news.append(news)

    def _failure(self, work: Work, entry: _Entry | None) -> str | None:
        num_quarantined = self._quarantine.num_images(work.stage)
        if num_quarantined >= _MAX_IN_TURN and work.stage not in self._went_through:
            return f"{_CULPRIT[work.stage]} its worker at {num_quarantined} images in turn, and none went through"
        if entry is not None and entry.num_resting >= _MAX_RESTING:
            return f"{work}: the worker died {entry.num_resting} times while it did not {work.stage}; is memory short?"
        if entry is None or entry.num_fruitless < _MAX_FRUITLESS:
            return None
        died = f"died {entry.num_fruitless} times in turn, the last one {entry.worker}"
        if work.stage == LOAD:
            return f"loading the model killed its worker: it {died}; is there enough memory?"
        return f"{work}: the worker {died} at {work.stage}, and no image can be blamed"

    def _overdue(self, seconds: float) -> list[LedgerEvent]:
        late = self._clock() - seconds
        found = []
        for work, entry in self._entries.items():
            if not (entry.is_resting or entry.is_told) and entry.since <= late:
                entry.is_told = True
                said = f"{work}: at {work.stage} on {entry.worker} for more than {seconds:g} s"
                found.append(LedgerEvent.of(work, entry.worker, said))
        return found


_MAX_KILLS = 2
_MAX_FRUITLESS = 4
_MAX_RESTING = 100  # more than a batch of images each of which kills the predictor is likely to take
_MAX_IN_TURN = 3
_MAX_NEWS = 1000
_CULPRIT = {READ: "reading and decoding killed", PREDICT: "the model killed", LOAD: ""}


def _name(row: Row) -> str:
    return f"shard {row[0]}, row {row[1]}"
