"""The Ray cluster that a job runs on: started here, or joined. Runs on the driver."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Cluster:
    """Where the job runs and how much of it the job takes."""

    address: str | None = None
    """None starts Ray on this machine and ends it with the job; auto joins the one that runs; or host:port."""
    workers: int | str = "auto"
    """Predictor actors; auto takes one a GPU, and without GPUs all CPUs but those that reading needs."""
    cpus_per_worker: float = 1.0
    """CPUs that a predictor actor reserves; also the threads of an engine that computes on the CPU."""
    object_store_bytes: int | None = None
    """Shared memory for blocks in flight on a cluster started here; Ray's own choice when not given."""


@dataclass(frozen=True)
class Resources:
    """What the cluster has."""

    cpus: float
    gpus: float


@contextmanager
def connect(cluster: Cluster, *, verbose: bool) -> Iterator[Resources]:
    """Ray, from here to the end of the block.

    Raises:
        JobError: no cluster answers at ``cluster.address``.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns about its own future default
    started_here = cluster.address is None
    local = {"include_dashboard": False, "object_store_memory": cluster.object_store_bytes} if started_here else {}
    try:
        ray.init(
            address=cluster.address or "local",
            log_to_driver=verbose,
            logging_level=logging.INFO if verbose else logging.ERROR,
            **local,
        )
    except (ConnectionError, ValueError) as error:
        raise JobError(
            f"cluster.address={cluster.address}: {str(error).splitlines()[0]}",
            cure="start a cluster with `ray start --head`, or leave cluster.address away to run on this machine",
        ) from None
    if not verbose:
        logging.getLogger("ray").setLevel(logging.ERROR)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        total = ray.cluster_resources()
        yield Resources(total.get("CPU", 0.0), total.get("GPU", 0.0))
    finally:
        ray.shutdown()
