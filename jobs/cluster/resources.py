"""What the cluster that a job has joined has, and waiting for it. Runs on the driver."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actors.errors import JobError

if TYPE_CHECKING:
    from jobs.cluster.config import Cluster

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Resources:
    """What a cluster, or a node of it, has."""

    cpus: float
    gpus: float
    memory_bytes: int = 0
    """For workers, the object store aside; 0 where it is not known."""
    object_store_bytes: int = 0
    """For blocks on their way between processes; 0 where it is not known."""
    nodes: tuple[Resources, ...] = ()
    """The same of each node; empty where there is but one."""

    def shared(self, drivers: int) -> Resources:
        """The part of one of so many drivers. The nodes stay as they are: each driver may use any of them."""
        return replace(
            self, cpus=self.cpus / drivers, gpus=self.gpus // drivers, memory_bytes=self.memory_bytes // drivers
        )


def cluster_resources() -> Resources:
    """What the cluster that `connect` has joined has now. A node counts for some seconds after its death."""
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


def await_nodes(cluster: Cluster, *, wants_gpu: bool | None) -> Resources:
    """The part of the cluster that is this driver's, as soon as it has what the job cannot do without, or after
    ``cluster.nodes_wait_s``. A cluster that grows by itself is asked to. Without a GPU there is no job if it
    ``wants_gpu``; None takes one where there is one.

    Raises:
        JobError: there are GPUs for it, and not one for each driver.
    """
    from ray.autoscaler.sdk import request_resources  # noqa: PLC0415  must come after `prepare`

    workers = cluster.drivers * (cluster.workers if isinstance(cluster.workers, int) else 1)
    kind, wanted = ("GPU", workers) if wants_gpu else ("CPU", 1)
    began, is_told = time.monotonic(), False
    while True:
        resources = cluster_resources()
        there = resources.gpus if wants_gpu else resources.cpus
        if there >= wanted or cluster.address is None or time.monotonic() - began >= cluster.nodes_wait_s:
            break
        if not is_told:
            LOG.info("waiting for nodes: the cluster has %g %ss", there, kind)
            request_resources(bundles=[{kind: 1}] * workers)
            is_told = True
        time.sleep(_LOOK_S)
    if wants_gpu is not False and 0 < resources.gpus < cluster.drivers:
        raise JobError(
            f"cluster.drivers={cluster.drivers}: the cluster has {resources.gpus:g} GPUs, not one for each",
            cure="let no more drivers share it than it has GPUs, or choose engine.device=cpu",
        )
    return resources.shared(cluster.drivers)


_LOOK_S = 1.0
