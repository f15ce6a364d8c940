"""Attempts at work, which workers report to the ledger so that it can determine why a worker died. Used in workers."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from actors.device_errors import DeviceLostError
from actors.messages import one_line
from actors.tracking.watchdog import limit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from actors.errors import ImageError
    from actors.row_ranges import Piece
    from actors.tracking.metric_counts import Flow

Row = tuple[int, int]
"""Shard, and row of the shard."""

LOAD, READ, PREDICT = "load", "read", "predict"


class Work(NamedTuple):
    """Work that a worker does in one attempt. A retry after its death must begin an equal `Work`."""

    stage: str
    """`LOAD`, `READ` or `PREDICT`."""
    what: tuple[Piece, ...] | str
    """The rows, or a name if there are none, such as when loading a model."""

    def __str__(self) -> str:
        return self.what if isinstance(self.what, str) else "; ".join(map(str, self.what))

    @property
    def first(self) -> Row | None:
        return None if isinstance(self.what, str) else (self.what[0].shard, self.what[0].ranges[0][0])


@dataclass(frozen=True)
class Instructions:
    """The ledger's response to a worker that begins work."""

    limit_s: float | None = None
    """Time limit in seconds for a batch or a single image before the watchdog ends the worker; None for no limit."""
    careful: frozenset[Row] = frozenset()
    """First rows of the batches to process one image at a time, each reported before it is touched."""
    quarantined: Mapping[Row, ImageError] = field(default_factory=dict)
    """Images that must not be touched again, each with its error."""
    stop: bool = False
    """True if no more images should be read."""
    failure: str | None = None
    """Reason not to retry; ends the job."""


class WorkerKilledError(Exception):
    """Work killed too many workers with no image to blame. Ends the job."""


class SharedLedger(Protocol):
    """The methods of `Ledger` that workers call, locally or remotely."""

    def begin(self, work: Work, worker: str) -> Instructions: ...
    def start_batch(self, work: Work, row: Row) -> bool: ...
    def start_image(self, work: Work, row: Row, stage: str) -> None: ...
    def finish_batch(self, work: Work, next_row: Row | None) -> None: ...
    def report_exit(self, work: Work, kind: str, reason: str) -> None: ...
    def end(self, work: Work, num_ok: int = 0, num_errors: int = 0, flow: Flow | None = None) -> None: ...


@dataclass
class Attempt:
    """One attempt at a piece of work, with counts set by the worker."""

    ledger: SharedLedger
    work: Work
    instructions: Instructions
    num_ok: int = 0
    num_errors: int = 0
    flow: Flow | None = None

    def limit(self) -> AbstractContextManager[None]:
        """Ends the process if the block takes longer than `Instructions.limit_s`."""
        seconds = self.instructions.limit_s
        return limit(seconds, lambda: self.report_exit("stalled", f"no progress for {seconds:g} s"))

    def start_image(self, row: Row, stage: str) -> None:
        self.ledger.start_image(self.work, row, stage)

    def show_life(self) -> None:
        """Reports progress within a long batch."""
        if self.work.first is not None:
            self.ledger.start_batch(self.work, self.work.first)

    def report_exit(self, kind: str, reason: str) -> None:
        self.ledger.report_exit(self.work, kind, reason)


@contextmanager
def attempt(ledger: SharedLedger, work: Work) -> Iterator[Attempt]:
    """Reports the beginning and end of an attempt by this process.

    An exception in the block ends the attempt but not the worker. A lost device ends the process: only a new process,
    started by Ray, can use the device again.

    Raises:
        WorkerKilledError: the ledger returned a reason not to retry.
    """
    instructions = ledger.begin(work, f"{socket.gethostname()}:{os.getpid()}")
    if instructions.failure:
        raise WorkerKilledError(instructions.failure)
    current = Attempt(ledger, work, instructions)
    try:
        yield current
    except DeviceLostError as error:
        current.report_exit("device_lost", f"its device is lost: {one_line(error)}")
        os._exit(1)
    except (Exception, GeneratorExit):
        ledger.end(work)
        raise
    ledger.end(work, current.num_ok, current.num_errors, current.flow)
