"""Reads the resources of the cluster, and waits for them. Runs on the driver."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.errors import JobError

if TYPE_CHECKING:
    from jobs.cluster.config import Cluster

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Resources:
    """Resources of a cluster or of one node."""

    cpus: float
    gpus: float
    memory_bytes: int = 0
    """Memory for workers, without the object store; 0 if unknown."""
    object_store_bytes: int = 0
    """Object store memory for blocks in flight; 0 if unknown."""
    nodes: tuple[Resources, ...] = ()
    """Resources of each node."""

    def shared(self, drivers: int) -> Resources:
        """Returns the share of one of ``drivers``. Nodes are not divided: each driver may use any of them."""
        return replace(
            self, cpus=self.cpus / drivers, gpus=self.gpus // drivers, memory_bytes=self.memory_bytes // drivers
        )


def cluster_resources() -> Resources:
    """Returns the current resources of the connected cluster. A dead node still counts for a few seconds."""
    import ray  # noqa: PLC0415  must come after `prepare`

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    each = tuple(
        Resources(
            cpus=node.get("CPU", 0.0),
            gpus=node.get("GPU", 0.0),
            memory_bytes=int(node.get("memory", 0)),
            object_store_bytes=int(node.get("object_store_memory", 0)),
        )
        for node in nodes
    )
    return Resources(
        cpus=sum(one.cpus for one in each),
        gpus=sum(one.gpus for one in each),
        memory_bytes=sum(one.memory_bytes for one in each),
        object_store_bytes=sum(one.object_store_bytes for one in each),
        nodes=each,
    )


def num_gpus_here() -> int:
    """Returns the number of NVIDIA GPUs of this machine, as Ray counts them on Linux."""
    return len(list(_GPUS.glob("*")))


_GPUS = Path("/proc/driver/nvidia/gpus")


def await_nodes(cluster: Cluster, *, wants_gpu: bool | None) -> Resources:
    """Waits up to ``cluster.nodes_wait_s`` for the resources that the job needs; returns this driver's share.

    Requests them from an autoscaling cluster. ``wants_gpu`` is None for a job that uses a GPU if available.

    Raises:
        JobError: the cluster has GPUs, but fewer than drivers.
    """
    workers = cluster.drivers * (cluster.workers if isinstance(cluster.workers, int) else 1)
    num_gpus = -(-workers // cluster.workers_per_gpu)
    kind, wanted, asked = ("GPU", num_gpus, num_gpus) if wants_gpu else ("CPU", 1, workers)
    began, is_requested = time.monotonic(), False
    while True:
        resources = cluster_resources()
        there = resources.gpus if wants_gpu else resources.cpus
        if there >= wanted or cluster.address is None or time.monotonic() - began >= cluster.nodes_wait_s:
            break
        if not is_requested:
            from ray.autoscaler.sdk import request_resources  # noqa: PLC0415  must come after `prepare`

            LOG.info("waiting for nodes: the cluster has %g %ss", there, kind)
            request_resources(bundles=[{kind: 1}] * asked)
            is_requested = True
        time.sleep(_LOOK_S)
    if wants_gpu is not False and 0 < resources.gpus < cluster.drivers:
        raise JobError(
            f"cluster.drivers={cluster.drivers}: the cluster has {resources.gpus:g} GPUs, not one for each",
            fix="let no more drivers share it than it has GPUs, or choose engine.device=cpu",
        )
    return resources.shared(cluster.drivers)


_LOOK_S = 1.0  # nodes take a minute to start
