"""Warns about resources that other jobs hold when this one starts. Runs on the driver."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from jobs.cluster.resources import cluster_resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.cluster.config import Cluster

LOG = logging.getLogger("shardlens")


def warn_if_taken(cluster: Cluster, *, wants_gpu: bool | None) -> None:
    """Warns if other jobs hold resources that the first worker needs. Must be called before the job starts its tasks.

    The job continues: waiting tasks make an autoscaling cluster grow.
    """
    import ray  # noqa: PLC0415  must come after `prepare`

    all_there = cluster_resources()
    needed = {"CPU": min(cluster.cpus_per_worker, all_there.cpus), "GPU": min(1.0, all_there.gpus) if wants_gpu else 0}
    until = time.monotonic() + _TAKEN_S
    while taken := _taken(needed, ray.available_resources()):  # type: ignore[no-untyped-call]
        if time.monotonic() >= until:
            LOG.warning("the cluster's %s are held by others: the job waits until a worker can start", taken)
            return
        time.sleep(_LOOK_S)


_LOOK_S = 0.25  # a starting job waits until the next check, even if resources are freed earlier
_TAKEN_S = 3.0  # resources of tasks that have just ended still count as taken


def _taken(needed: Mapping[str, float], free: Mapping[str, float]) -> str:
    """Describes the missing resources; empty if none are missing."""
    lacking = [kind for kind, number in needed.items() if free.get(kind, 0.0) < number]
    return " and ".join(f"{kind}s ({free.get(kind, 0.0):g} free, a worker takes {needed[kind]:g})" for kind in lacking)
