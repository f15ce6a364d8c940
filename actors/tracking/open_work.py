"""Work that a worker has begun but not finished, and the lessons from earlier deaths. Part of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from actors.tracking.work_states import LESSONS, TRANSITIONS, Lesson, Signal, State

if TYPE_CHECKING:
    from actors.tracking.attempts import Row


class ExitReason(NamedTuple):
    """The reason that a worker reported for exiting, if any."""

    kind: str = "killed_worker"
    """Error kind of an image to blame."""
    text: str = "the process that worked on it died"


UNKNOWN = ExitReason()


@dataclass
class OpenWork:
    """State of one `Work` across its attempts, until one of them ends it."""

    worker: str = ""
    state: State = State.IDLE
    last_signal_s: float = 0.0
    """Time by the ledger's clock."""
    batch: Row | None = None
    """First row of the current batch, or, while the worker waits, of the next one."""
    image: Row | None = None
    """The current image in `State.ONE_IMAGE`."""
    stage: str = ""
    """Stage of the error that ``image`` would receive."""
    exit_reason: ExitReason = UNKNOWN
    is_reported: bool = False
    """True once the current attempt has been reported as overdue."""
    careful: set[Row] = field(default_factory=set)
    """First rows of batches in which a worker died."""
    kills: dict[Row, list[ExitReason]] = field(default_factory=dict)
    """Reasons for the deaths at each image that was processed alone."""
    num_fruitless: int = 0
    """Consecutive deaths that taught nothing."""
    num_waiting: int = 0
    """Consecutive deaths in `State.WAITING` before the same batch."""
    waited_before: Row | None = None
    """The batch that ``num_waiting`` refers to."""

    def start_signal(self, batch: Row | None) -> Signal:
        """Returns the signal for the start of ``batch``; None for work without rows."""
        if batch is None:
            return Signal.LOAD
        return Signal.START_CAREFUL_BATCH if batch in self.careful else Signal.START_BATCH

    def finish_signal(self, next_batch: Row | None) -> Signal:
        """Returns the signal for the end of a batch. A reader prefetches only whole batches."""
        return Signal.WAIT if next_batch is None or next_batch in self.careful else Signal.READ_AHEAD

    def advance(self, signal: Signal) -> bool:
        """Moves to the next state; returns False and changes nothing if the signal is forbidden in this state."""
        state = TRANSITIONS[self.state].get(signal)
        if state is None:
            return False
        self.state = state
        return True

    def die(self) -> Lesson:
        """Records the worker's death and returns the lesson. A blamed image stays in `image`."""
        lesson = LESSONS[self.state]
        self.advance(Signal.DEATH)
        if lesson is Lesson.BLAME_IMAGE and self.image is not None:
            self.num_fruitless = 0
            self.kills.setdefault(self.image, []).append(self.exit_reason)
        elif lesson is Lesson.SUSPECT_BATCH and self.batch is not None:
            self.num_fruitless = 0
            self.careful.add(self.batch)
        elif lesson is Lesson.OTHER_WORK:
            self.num_waiting = self.num_waiting + 1 if self.batch == self.waited_before else 1
            self.waited_before = self.batch
        else:
            self.num_fruitless += 1
        return lesson
