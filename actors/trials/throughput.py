"""Steady throughput of several workers, from the end times of their batches. Workers stamp blocks; the collector of the
blocks computes the rate.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

# Seconds since the epoch: a clock shared by processes, and nearly so by the nodes of a cluster.
ENDED_AT = "_ended_at"
WORKER = "_worker"
STAMP = (ENDED_AT, WORKER)


class End(NamedTuple):
    """End of a batch."""

    at_s: float
    num_images: int
    worker: str = ""


def stamped(block: pa.Table) -> pa.Table:
    """Stamps a block as just finished by this process."""
    times = pa.array([time.time()] * len(block), pa.float64())
    workers = pa.array([f"{socket.gethostname()}:{os.getpid()}"] * len(block), pa.string())
    return block.append_column(ENDED_AT, times).append_column(WORKER, workers)


def ends_of(table: pa.Table) -> list[End]:
    """Returns the ends of the blocks in ``table``, which must be `stamped`."""
    counted = table.group_by(list(STAMP)).aggregate([([], "count_all")]).select([ENDED_AT, "count_all", WORKER])
    return [End(*values) for values in zip(*(column.to_pylist() for column in counted.columns), strict=True)]


def steady_images_per_s(ends: Sequence[End], *, fewest: int = 8) -> float | None:
    """Returns images per second from the time when every worker has ended its first batch to the end of the last batch,
    which excludes start-up. Returns None if fewer than ``fewest`` batches ended in that time: too few to average.
    """
    firsts: dict[str, float] = {}
    for end in sorted(ends):
        firsts.setdefault(end.worker, end.at_s)
    begun = max(firsts.values(), default=0.0)  # the slowest worker to start
    later = [end for end in ends if end.at_s > begun]
    if len(later) < fewest:
        return None
    return sum(end.num_images for end in later) / (max(end.at_s for end in later) - begun)
