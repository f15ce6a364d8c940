"""The Ray cluster that a job runs on: started here, or joined. Runs on the driver."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


def listen_on_loopback() -> None:
    """Keeps every port of a Ray that is started here on 127.0.0.1. To be called before Ray is imported.

    By default Ray on Linux listens on all interfaces, metrics without a token included; this is the switch by which
    it stays on loopback on macOS and Windows (`ENABLE_RAY_CLUSTER` in its `ray_constants.py`).
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


@contextmanager
def connect(cluster: Cluster, *, verbose: bool) -> Iterator[Resources]:
    """Ray, from here to the end of the block.

    Raises:
        JobError: no cluster answers at ``cluster.address``.
    """
    import ray  # noqa: PLC0415  must come after `listen_on_loopback`

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns about its own future default
    local: dict[str, Any] = {}
    if cluster.address is None:
        local = {"include_dashboard": False, "object_store_memory": cluster.object_store_bytes}
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
        total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield Resources(total.get("CPU", 0.0), total.get("GPU", 0.0))
    finally:
        ray.shutdown()
