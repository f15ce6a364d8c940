"""Config of the cluster that a job runs on, with checks that can fail before Ray starts. Runs on the driver."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from tempfile import gettempdir

from actors.errors import JobError


@dataclass
class Cluster:
    """Cluster that the job runs on, and the job's share of it."""

    address: str | None = None
    """null joins the cluster that RAY_ADDRESS names; without that variable, it means local, which starts Ray on this
    machine and stops it after the job. auto joins a running Ray, host:port a specific cluster."""
    workers: int | str = "auto"
    """Number of predictor actors; auto starts workers_per_gpu on each GPU, or one per CPU if there are no GPUs."""
    workers_per_gpu: int = 1
    """Number of predictor actors that share a GPU and its memory. Two may be faster if one leaves the GPU idle: compare
    the rates in `jobs.benchmark`."""
    drivers: int = 1
    """Jobs, or slices of one job, that share the cluster; each plans for an equal part of it."""
    nodes_wait_s: float = 0.0
    """Seconds to wait for nodes that the cluster does not have yet: for any CPU, or, if the job requires GPUs, for one
    GPU per worker. The job then starts on the nodes that are present."""
    loss_wait_s: float = 30.0
    """Seconds without progress after which a job that has lost nodes restarts on the remaining nodes. A larger value
    gives replacements time to join."""
    price_per_hour: float | None = None
    """Price of the whole cluster; if set, the report shows the price of a million images, and that of start-up."""
    currency: str = ""
    """Currency of price_per_hour, shown after prices, such as EUR."""
    cpus_per_worker: float = 1.0
    """CPUs that a predictor actor reserves, fewer on a smaller cluster; engine.threads sets how many it uses."""
    object_store_bytes: int | None = None
    """Shared memory for blocks in flight, on a cluster started here; Ray chooses it by default."""
    metrics_port: int | None = None
    """Port of the metrics page of a cluster started here, on 127.0.0.1 only; no page by default."""

    @property
    def is_here(self) -> bool:
        """True if the cluster is limited to this machine: Ray is, or was, started here on a loopback address."""
        return self.address is None or self.address.startswith("127.")

    def resolve(self) -> None:
        """Sets ``address`` to that of the cluster to join, or to None if Ray is to be started here."""
        if self.address is None:
            self.address = os.environ.get("RAY_ADDRESS") or None
        if self.address == LOCAL:
            self.address = None

    def check(self) -> None:
        """Raises `JobError` for problems that make Ray time out without a reason: nothing responds at ``address``,
        ``metrics_port`` is taken, or the temporary folder is full.
        """
        if self.workers_per_gpu < 1:
            raise JobError(f"cluster.workers_per_gpu={self.workers_per_gpu}: not above 0", fix="give 1, or 2")
        if self.address is None:
            _check_temporary_room()
        if self.metrics_port is not None:
            _check_metrics_port(self.metrics_port, self.address)
        if self.address in (None, "auto"):
            return
        if "://" in str(self.address):
            raise JobError(
                f"{_given(str(self.address))}: not a Ray cluster to join",
                fix="give host:port, or cluster.address=local to run here; to send the job to a Jobs API: "
                "python -m jobs.submit VERB KEY=VALUE ...",
            )
        host, _, port = str(self.address).rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
        except (OSError, ValueError, OverflowError) as error:
            raise not_reached(str(self.address), str(error)) from None


LOCAL = "local"
_ANSWER_S = 5.0  # for a TCP connection to a live head


def _check_metrics_port(port: int, address: str | None) -> None:
    given = f"cluster.metrics_port={port}"
    if address is not None:
        raise JobError(
            f"{given}: cluster.address={address} has its metrics page already",
            fix="omit it; the port is an option of ray start: --metrics-export-port",
        )
    if not 0 < port <= _MAX_PORT:
        raise JobError(f"{given}: not a port", fix=f"give one from 1 to {_MAX_PORT}, or none for any that is free")
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise JobError(f"{given}: {error}", fix="give another port, or none for any that is free") from None


_MAX_PORT = 65_535


def _check_temporary_room() -> None:
    """Checks the folder for Ray's sockets and logs, which `tempfile` would skip if it were full."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    folder = os.environ[name] if name else gettempdir()
    given = f"{name}={folder}" if name else folder
    fix = "make room there, or set TMPDIR to a folder on another disk"
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        raise JobError(f"{given}: {error.strerror}, and Ray keeps its sockets and logs there", fix=fix) from None
    if free_bytes < _SESSION_BYTES:
        raise JobError(
            f"{given}: {free_bytes / 1024**2:.1f} MiB free, too little for the sockets and logs of Ray", fix=fix
        )


_SESSION_BYTES = 16 << 20  # a session takes a few MiB of logs


def _given(address: str) -> str:
    """Returns the address with the key or variable that sets it."""
    return f"{'RAY_ADDRESS' if os.environ.get('RAY_ADDRESS') == address else 'cluster.address'}={address}"


def not_reached(address: str, reason: str) -> JobError:
    """Returns the error for a cluster that does not respond at ``address``."""
    return JobError(
        f"{_given(address)}: {reason}",
        fix="give auto or the host:port of a cluster (`ray start --head` starts one), or cluster.address=local to "
        "run here",
    )
