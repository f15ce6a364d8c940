"""The ledger of a run as a Ray actor on the driver's node, and the handle for calls from driver and workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, cast

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.tracking.ledger import Ledger, View

if TYPE_CHECKING:
    from actors.tracking.attempts import Instructions, Row, Work
    from actors.tracking.metric_counts import Flow
    from actors.tracking.progress_counts import Pace


def start_ledger(stall_s: float | None) -> RemoteLedger:
    """Starts a ledger on the driver's own node, so that the loss of a worker's node cannot end it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    # Without CPUs: a cluster's head may have none, and the workers of a small cluster need them all.
    actor: Any = ray.remote(num_cpus=0)(Ledger)
    return RemoteLedger(actor.options(scheduling_strategy=here).remote(stall_s))


@dataclass(frozen=True)
class RemoteLedger:
    """A `SharedLedger`. Calls that must arrive before risky work begins wait for the reply, about a millisecond.

    Every method raises RayError once the ledger is dead, which ends the run.
    """

    actor: Any
    is_draining: Event = field(default_factory=Event, compare=False)
    """Set in the driver's copy only."""

    def __reduce__(self) -> tuple[type[RemoteLedger], tuple[Any]]:
        return (RemoteLedger, (self.actor,))  # an Event holds a lock, which cannot be pickled

    def begin(self, work: Work, worker: str) -> Instructions:
        return cast("Instructions", ray.get(self.actor.begin.remote(work, worker)))

    def start_batch(self, work: Work, row: Row) -> bool:
        return cast("bool", ray.get(self.actor.start_batch.remote(work, row)))

    def start_image(self, work: Work, row: Row, stage: str) -> None:
        ray.get(self.actor.start_image.remote(work, row, stage))

    # Not awaited, nor is `end`: if a call is lost with its worker, the attempt counts as open and its work is redone.
    # Ray preserves the order of calls from one worker.
    def finish_batch(self, work: Work, next_row: Row | None) -> None:
        self.actor.finish_batch.remote(work, next_row)

    def report_exit(self, work: Work, kind: str, reason: str) -> None:
        ray.get(self.actor.report_exit.remote(work, kind, reason))

    def end(self, work: Work, num_ok: int = 0, num_errors: int = 0, flow: Flow | None = None) -> None:
        self.actor.end.remote(work, num_ok, num_errors, flow)

    def count_part(self, seconds: float, num_bytes: int) -> None:
        self.actor.count_part.remote(seconds, num_bytes)

    def set_engine(self, engine: dict[str, str]) -> None:
        self.actor.set_engine.remote(engine)

    def engine(self) -> dict[str, str]:
        """Description of the engine, as reported by the actors."""
        return cast("dict[str, str]", ray.get(self.actor.engine.remote()))

    def pace(self) -> Pace:
        """Images per second, since the first result."""
        return cast("Pace", ray.get(self.actor.pace.remote()))

    def drain(self) -> None:
        ray.get(self.actor.drain.remote())
        self.is_draining.set()

    def snapshot(self, overdue_s: float | None, *, timeout_s: float) -> View:
        # The only call with a timeout: its thread must also end when the cluster is gone.
        return cast("View", ray.get(self.actor.snapshot.remote(overdue_s), timeout=timeout_s))
