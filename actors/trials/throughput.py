"""How fast images come once every worker is at work, from the times at which their batches ended. Stamped in workers,
counted where the times come together.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

# Seconds since the epoch: the clock that processes, and about the nodes of a cluster too, have in common.
ENDED_AT = "_ended_at"
WORKER = "_worker"
STAMP = (ENDED_AT, WORKER)


class End(NamedTuple):
    """A batch that was done."""

    at_s: float
    num_images: int
    worker: str = ""


def stamped(block: pa.Table) -> pa.Table:
    """A block that this process is done with now."""
    times = pa.array([time.time()] * len(block), pa.float64())
    workers = pa.array([f"{socket.gethostname()}:{os.getpid()}"] * len(block), pa.string())
    return block.append_column(ENDED_AT, times).append_column(WORKER, workers)


def ends_of(table: pa.Table) -> list[End]:
    """The ends of the blocks in ``table``, each of which was `stamped`."""
    counted = table.group_by(list(STAMP)).aggregate([([], "count_all")]).select([ENDED_AT, "count_all", WORKER])
    return [End(*values) for values in zip(*(column.to_pylist() for column in counted.columns), strict=True)]


def steady_images_per_s(ends: Sequence[End], *, fewest: int = 8) -> float | None:
    """Images a second from when the last worker has ended its first batch to the end of the last batch, so that no
    start counts; None where fewer than ``fewest`` batches ended in that time: a single one would decide too much.
    """
    firsts: dict[str, float] = {}
    for end in sorted(ends):
        firsts.setdefault(end.worker, end.at_s)
    begun = max(firsts.values(), default=0.0)
    later = [end for end in ends if end.at_s > begun]
    if len(later) < fewest:
        return None
    return sum(end.num_images for end in later) / (max(end.at_s for end in later) - begun)
