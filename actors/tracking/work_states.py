"""Tables of the states of a piece of work and the signals that move it between them. Used by the ledger."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(Enum):
    """State of a piece of work, inferred from its worker's signals."""

    IDLE = auto()
    """No worker has begun the work, or it has ended."""
    LOADING = auto()
    """A model is being loaded; there are no rows."""
    WHOLE_BATCH = auto()
    """A batch is being processed as a whole."""
    CAREFUL_BATCH = auto()
    """A batch in which a worker died is being processed one image at a time; the worker is between images."""
    ONE_IMAGE = auto()
    """One image is being processed alone."""
    READING_AHEAD = auto()
    """The worker waits to pass a batch on, while its threads fetch the whole next one."""
    WAITING = auto()
    """The worker waits to pass a batch on, or works on something else."""


class Signal(Enum):
    """A report from the worker, or proof of its death from its successor."""

    LOAD = auto()
    START_BATCH = auto()
    START_CAREFUL_BATCH = auto()
    START_IMAGE = auto()
    READ_AHEAD = auto()
    """A batch is done; the next one is being fetched."""
    WAIT = auto()
    """A batch is done; nothing is being fetched."""
    END = auto()
    DEATH = auto()
    """Another worker begins the same work, so the previous one has died."""


class Lesson(Enum):
    """Conclusion from a worker's death."""

    BLAME_IMAGE = auto()
    SUSPECT_BATCH = auto()
    """The batch is processed one image at a time from now on."""
    OTHER_WORK = auto()
    """The worker died from something else. A predictor that reads on its own dies from what it predicts."""
    NOTHING = auto()


_STOPS = {Signal.END: State.IDLE, Signal.DEATH: State.IDLE}
_STARTS = {Signal.START_BATCH: State.WHOLE_BATCH, Signal.START_CAREFUL_BATCH: State.CAREFUL_BATCH}
_FINISHES = {Signal.READ_AHEAD: State.READING_AHEAD, Signal.WAIT: State.WAITING}
_IMAGE = {Signal.START_IMAGE: State.ONE_IMAGE}

TRANSITIONS: Mapping[State, Mapping[Signal, State]] = {
    State.IDLE: {Signal.LOAD: State.LOADING, **_STARTS},
    State.LOADING: _STOPS,
    State.WHOLE_BATCH: {**_STARTS, **_IMAGE, **_FINISHES, **_STOPS},  # work begins with its first batch, then starts it
    State.CAREFUL_BATCH: {**_STARTS, **_IMAGE, **_FINISHES, **_STOPS},
    State.ONE_IMAGE: {**_IMAGE, **_FINISHES, **_STOPS},
    State.READING_AHEAD: {**_STARTS, **_STOPS},
    State.WAITING: {**_STARTS, **_STOPS},
}
"""The next state by state and signal. Missing signals are forbidden."""

LESSONS: Mapping[State, Lesson] = {
    State.LOADING: Lesson.NOTHING,
    State.WHOLE_BATCH: Lesson.SUSPECT_BATCH,
    State.CAREFUL_BATCH: Lesson.NOTHING,
    State.ONE_IMAGE: Lesson.BLAME_IMAGE,
    State.READING_AHEAD: Lesson.SUSPECT_BATCH,
    State.WAITING: Lesson.OTHER_WORK,
}
"""The conclusion from a death, by the worker's state at the time."""
