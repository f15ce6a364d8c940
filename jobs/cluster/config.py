"""Where a job runs and how much of it the job takes: the config, and what can be known to fail before Ray is started.
Runs on the driver.
"""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from tempfile import gettempdir

from actors.errors import JobError


@dataclass
class Cluster:
    """Where the job runs and how much of it the job takes."""

    address: str | None = None
    """None starts Ray on this machine and ends it with the job; auto joins the one that runs; or host:port."""
    workers: int | str = "auto"
    """Predictor actors; auto takes one a GPU, and without GPUs one a CPU."""
    drivers: int = 1
    """Jobs, or slices of one, that share the cluster; each of them plans for an equal part of it."""
    nodes_wait_s: float = 0.0
    """Seconds that a job waits for nodes that a cluster is yet to get: for any CPUs, and for a GPU for each of
    cluster.workers where it asks for GPUs. It goes on with what there is then."""
    price_per_hour: float | None = None
    """What the whole cluster costs, in any currency; the report then gives the price of a million images."""
    cpus_per_worker: float = 1.0
    """CPUs that a predictor actor reserves, as far as there are so many; engine.threads says how many it uses."""
    object_store_bytes: int | None = None
    """Shared memory for blocks in flight on a cluster started here; Ray's own choice when not given."""
    metrics_port: int | None = None
    """Where a cluster started here has its metrics page, on 127.0.0.1 alone; any free port when not given."""

    def check(self) -> None:
        """Raises `JobError` for what Ray itself would time out on without saying why: nothing answers at ``address``,
        ``metrics_port`` cannot be had, or the temporary folder is full.
        """
        if self.address is None:
            _check_temporary_room()
        if self.metrics_port is not None:
            _check_metrics_port(self.metrics_port, self.address)
        if self.address in (None, "auto"):
            return
        if "://" in str(self.address):
            raise JobError(
                f"cluster.address={self.address}: not a Ray cluster to join",
                cure="give host:port; to send the job to a Jobs API: python -m jobs.submit VERB KEY=VALUE ...",
            )
        host, _, port = str(self.address).rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
        except (OSError, ValueError, OverflowError) as error:
            raise not_reached(str(self.address), str(error)) from None


_ANSWER_S = 5.0


def _check_metrics_port(port: int, address: str | None) -> None:
    given = f"cluster.metrics_port={port}"
    if address is not None:
        raise JobError(
            f"{given}: cluster.address={address} has its metrics page already",
            cure="leave it away; the port is an option of ray start: --metrics-export-port",
        )
    if not 0 < port <= _MAX_PORT:
        raise JobError(f"{given}: not a port", cure=f"give one from 1 to {_MAX_PORT}, or none for any that is free")
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise JobError(f"{given}: {error}", cure="give another port, or none for any that is free") from None


_MAX_PORT = 65_535


def _check_temporary_room() -> None:
    """Ray keeps sockets and logs of its session in a folder that `tempfile` would pass over where it is full."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    folder = os.environ[name] if name else gettempdir()
    given = f"{name}={folder}" if name else folder
    cure = "make room there, or set TMPDIR to a folder on another disk"
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        raise JobError(f"{given}: {error.strerror}, and Ray keeps its sockets and logs there", cure=cure) from None
    if free_bytes < _SESSION_BYTES:
        raise JobError(
            f"{given}: {free_bytes / 1024**2:.1f} MiB free, too little for the sockets and logs of Ray", cure=cure
        )


_SESSION_BYTES = 16 << 20


def not_reached(address: str, reason: str) -> JobError:
    """The error where no cluster answers at ``address``."""
    return JobError(
        f"cluster.address={address}: {reason}",
        cure="give auto or the host:port of a cluster (`ray start --head` starts one), or leave it away to run here",
    )
