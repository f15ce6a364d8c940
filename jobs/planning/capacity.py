"""Checks that the batches of a plan fit in the memory and object store of each node. Pure arithmetic on the driver,
before any actor starts: with too small an object store, a run silently slows to a crawl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import JobError
from jobs.planning.planner import BATCHES_A_CALL

if TYPE_CHECKING:
    from jobs.cluster.resources import Resources
    from jobs.planning.planner import Plan


def check_room(plan: Plan, resources: Resources) -> None:
    """Checks every node that would run workers. Unknown sizes (zero) count as sufficient.

    Raises:
        JobError: a node has too little memory; names a fix.
    """
    for node in resources.nodes or (resources,):
        workers = min(plan.workers, _most_workers(plan, node))
        if not workers:
            continue
        _check("memory for workers", node.memory_bytes, workers * _memory_bytes(plan), plan, _MEMORY_FIX)
        if not plan.is_fused:
            _check("object store", node.object_store_bytes, workers * _store_bytes(plan), plan, _STORE_FIX)


def _most_workers(plan: Plan, node: Resources) -> int:
    by_cpus = int(node.cpus / plan.worker_cpus) if plan.worker_cpus else plan.workers
    return min(by_cpus, round(int(node.gpus) / plan.worker_gpus)) if plan.worker_gpus else by_cpus


def _memory_bytes(plan: Plan) -> int:
    """Returns a lower bound for one worker: the uint8 pixels of a block, and one batch as float32. Excludes the
    model.
    """
    return plan.block_bytes * (plan.batches_a_block + _FLOAT32_BYTES)


_FLOAT32_BYTES = 4


def _store_bytes(plan: Plan) -> int:
    """Returns the need of one worker: the batches of its current call, as many queued, and one being read."""
    return plan.block_bytes * (2 * BATCHES_A_CALL + 1)


_MEMORY_FIX = "choose a smaller batch_size, fewer cluster.workers, or nodes with more memory"
_STORE_FIX = (
    "choose a smaller batch_size; or give the node a larger object store: `ray start --object-store-memory=BYTES`, "
    "the shared memory of its pod, or cluster.object_store_bytes where the job starts Ray itself"
)


def _check(what: str, there_bytes: int, needed_bytes: int, plan: Plan, fix: str) -> None:
    if 0 < there_bytes < needed_bytes:
        raise JobError(
            f"batch_size={plan.batch_size}: a batch has {plan.block_bytes / 1e6:,.0f} MB of pixels, so the workers "
            f"of a node need {needed_bytes / 1e9:,.1f} GB; its {what} is {there_bytes / 1e9:,.1f} GB",
            fix=fix,
        )
