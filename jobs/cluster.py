"""The Ray cluster that a job runs on: started here, or joined. Runs on the driver."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, cast

from actors import faults
from actors.errors import JobError
from actors.messages import one_line
from jobs.lean_ray import lean_ray
from jobs.resources import Resources, cluster_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = logging.getLogger("shardlens")


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
            raise _not_reached(str(self.address), str(error)) from None


def prepare(cluster: Cluster, *, verbose: bool) -> None:
    """Sets what Ray reads from the environment. To be called before Ray is imported.

    A Ray that is started here keeps every port on 127.0.0.1: by default it listens on all interfaces on Linux,
    metrics without a token included, and this is the switch by which it stays on loopback on macOS and Windows
    (`ENABLE_RAY_CLUSTER` in its `ray_constants.py`).
    """
    if cluster.address is None:
        os.environ["PYTHONPATH"] = _import_path()  # the workers inherit it
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # Parts come some seconds apart, and a process takes two to be able to write: by default it ends after one.
        os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")
    if not verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of Ray Data's own actors
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of its own future default


@contextmanager
def connect(cluster: Cluster, *, verbose: bool) -> Iterator[Resources]:
    """Ray, from here to the end of the block; one that this process has started or joined before is left running.

    Raises:
        JobError: no cluster answers at ``cluster.address``.
    """
    import ray  # noqa: PLC0415  must come after `prepare`

    if ray.is_initialized():
        yield cluster_resources()
        return
    with ExitStack() as session:
        if cluster.address is None:
            session.enter_context(lean_ray(with_logs=verbose))
        _init(cluster, verbose=verbose)
        if not verbose:
            for name in ("ray", "ray.data"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # what they log as an error, they raise too
            session.enter_context(redirect_stdout(cast("Any", RayVoice())))
        session.callback(ray.shutdown)
        yield cluster_resources()


def _init(cluster: Cluster, *, verbose: bool) -> None:
    import ray  # noqa: PLC0415  must come after `prepare`

    if cluster.address is None:
        options: dict[str, Any] = {"include_dashboard": False, "object_store_memory": cluster.object_store_bytes}
        options["_metrics_export_port"] = cluster.metrics_port
    else:
        # Ray puts in what the node has; a folder that a node lacks is harmless there.
        variables = {"PYTHONPATH": f"{_import_path()}{os.pathsep}${{PYTHONPATH}}"}
        variables |= {name: os.environ[name] for name in (faults.VARIABLE,) if name in os.environ}
        options = {"runtime_env": {"env_vars": variables}}
    try:
        with nullcontext() if verbose else _no_stderr():
            ray.init(
                address=cluster.address or "local",
                log_to_driver=verbose,
                logging_level=logging.INFO if verbose else logging.ERROR,
                **options,
            )
    except (ConnectionError, ValueError) as error:
        reason = one_line(error)
        wrong = _not_reached(cluster.address, reason) if cluster.address else _not_started(reason)
        raise wrong from None


class RayVoice:
    """Stands in for standard output, on which Ray prints pages when a worker dies: each becomes one line of the log."""

    def write(self, text: str) -> int:
        said = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().removeprefix("(raylet)")
        if said:
            LOG.warning("Ray: %s", re.split(r"(?<=\.) |\n", said.strip(), maxsplit=1)[0])
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


_ANSWER_S = 5.0


def _import_path() -> str:
    """PYTHONPATH by which workers find what the driver finds, its working folder first, as with ``python -m``."""
    return os.pathsep.join(
        dict.fromkeys([str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    ).rstrip(os.pathsep)


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


def _not_reached(address: str, reason: str) -> JobError:
    return JobError(
        f"cluster.address={address}: {reason}",
        cure="give auto or the host:port of a cluster (`ray start --head` starts one), or leave it away to run here",
    )


def _not_started(reason: str) -> JobError:
    return JobError(
        f"Ray did not start on this machine: {reason}",
        cure="look at cluster.object_store_bytes and the space in /dev/shm; verbose=true shows what Ray says",
    )


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Silences the process below Python too: Ray's core says on stderr that it was told to say less."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
