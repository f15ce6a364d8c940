"""What a worker has in hand, and what it says of that to the ledger, so that its death can be understood."""

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
"""Shard, and row in it."""

LOAD, READ, PREDICT = "load", "read", "predict"


class Work(NamedTuple):
    """What a worker has in hand at a time. When it dies, its next attempt must give an equal one."""

    stage: str
    """`LOAD`, `READ` or `PREDICT`."""
    what: tuple[Piece, ...] | str
    """The rows; or a name, for the loading of a model, which has none."""

    def __str__(self) -> str:
        return self.what if isinstance(self.what, str) else "; ".join(map(str, self.what))

    @property
    def first(self) -> Row | None:
        return None if isinstance(self.what, str) else (self.what[0].shard, self.what[0].ranges[0][0])


@dataclass(frozen=True)
class Instructions:
    """How work is to be done."""

    limit_s: float | None = None
    """Seconds that a batch, or an image alone, may take; see `actors.tracking.watchdog`."""
    careful: frozenset[Row] = frozenset()
    """First rows of the batches to be done image by image, each noted before it is touched."""
    quarantined: Mapping[Row, ImageError] = field(default_factory=dict)
    """Images that must not be touched again, and the error that each gets."""
    stop: bool = False
    """Nothing more is to be read."""
    failure: str | None = None
    """Why trying again is of no use."""


class WorkerKilledError(Exception):
    """Work kills its workers again and again, and no image can be blamed. Ends the job."""


class SharedLedger(Protocol):
    """What a worker says to the ledger, wherever that lies; see `Ledger` for what it means."""

    def begin(self, work: Work, worker: str) -> Instructions: ...
    def reach(self, work: Work, row: Row) -> bool: ...
    def note(self, work: Work, row: Row, doing: str) -> None: ...
    def rest(self, work: Work, row: Row | None) -> None: ...
    def die(self, work: Work, kind: str, reason: str) -> None: ...
    def end(self, work: Work, num_ok: int = 0, num_errors: int = 0, flow: Flow | None = None) -> None: ...


@dataclass
class Attempt:
    """Work in hand: what the ledger said of it, what it is to know, and what came of it."""

    ledger: SharedLedger
    work: Work
    orders: Instructions
    num_ok: int = 0
    num_errors: int = 0
    flow: Flow | None = None

    def limit(self) -> AbstractContextManager[None]:
        """To be around what may hang: ends the process after `Instructions.limit_s`."""
        seconds = self.orders.limit_s
        return limit(seconds, lambda: self.die("stalled", f"nothing came of it for {seconds:g} s"))

    def note(self, row: Row, doing: str) -> None:
        self.ledger.note(self.work, row, doing)

    def die(self, kind: str, reason: str) -> None:
        self.ledger.die(self.work, kind, reason)


@contextmanager
def attempt(ledger: SharedLedger, work: Work) -> Iterator[Attempt]:
    """Work that this process has in hand to the end of the block. An exception is no death of the worker, but that of
    its device is: it ends the process, in whose place Ray puts a new one.

    Raises:
        WorkerKilledError: trying again is of no use.
    """
    orders = ledger.begin(work, f"{socket.gethostname()}:{os.getpid()}")
    if orders.failure:
        raise WorkerKilledError(orders.failure)
    hand = Attempt(ledger, work, orders)
    try:
        yield hand
    except DeviceLostError as error:
        hand.die("device_lost", f"its device is lost: {one_line(error)}")
        os._exit(1)
    except (Exception, GeneratorExit):
        ledger.end(work)
        raise
    ledger.end(work, hand.num_ok, hand.num_errors, hand.flow)
