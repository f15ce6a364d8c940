"""The Ray cluster that a job runs on: started here, or joined. Runs on the driver."""

from __future__ import annotations

import logging
import os
import re
import signal
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from actors import fault_injection
from actors.errors import JobError
from actors.messages import one_line
from jobs.cluster.config import not_reached
from jobs.cluster.ray_patches import lean_ray
from jobs.cluster.resources import Resources, cluster_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.cluster.config import Cluster

LOG = logging.getLogger("shardlens")


def prepare(cluster: Cluster, *, verbose: bool) -> None:
    """Sets the environment variables that Ray reads. Must be called before Ray is imported.

    Keeps every port of a Ray that is started here on 127.0.0.1. On Linux it listens on all interfaces by default, and
    serves metrics without a token; the variable is the one that keeps it on loopback on macOS and Windows
    (`ENABLE_RAY_CLUSTER` in its `ray_constants.py`).
    """
    if cluster.address is None:
        os.environ["PYTHONPATH"] = _import_path()  # the workers inherit it
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # Parts come seconds apart, and a writer takes two seconds to start: Ray ends idle processes after one.
        os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")
    if not verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its core warns about Ray Data's own actors
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning about a future default


@contextmanager
def connect(cluster: Cluster, *, verbose: bool) -> Iterator[Resources]:
    """Starts or joins Ray for the block. A Ray that this process already uses is left running.

    Signal handlers stay as they are: Ray replaces that of SIGTERM when it starts, and resets it when it ends.

    Raises:
        JobError: no cluster answers at ``cluster.address``.
    """
    import ray  # noqa: PLC0415  must come after `prepare`

    if ray.is_initialized():
        yield cluster_resources()
        return
    with _handlers_kept(), ExitStack() as session:
        if cluster.address is None:
            session.enter_context(lean_ray())
        with _handlers_kept():
            _init(cluster, verbose=verbose)
        if not verbose:
            for name in ("ray", "ray.data"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # they also raise what they log as errors
            session.enter_context(redirect_stdout(cast("Any", RayVoice())))
        session.callback(ray.shutdown)
        yield cluster_resources()


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Restores the handlers of SIGTERM and SIGINT after the block."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:  # one that Python did not install
                signal.signal(number, handler)


def _init(cluster: Cluster, *, verbose: bool) -> None:
    import ray  # noqa: PLC0415  must come after `prepare`

    if cluster.address is None:
        options: dict[str, Any] = {"include_dashboard": False, "object_store_memory": cluster.object_store_bytes}
        options["_metrics_export_port"] = cluster.metrics_port
    else:
        # Ray expands the variable on each node; a folder that a node lacks does no harm.
        variables = {"PYTHONPATH": f"{_import_path()}{os.pathsep}${{PYTHONPATH}}"}
        variables |= {name: os.environ[name] for name in (fault_injection.VARIABLE,) if name in os.environ}
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
        wrong = not_reached(cluster.address, reason) if cluster.address else _not_started(reason)
        raise wrong from None


class RayVoice:
    """Stands in for standard output and logs one line for each message that Ray prints there.

    Ray 2.60 prints the errors that its nodes publish, pages long, even with ``log_to_driver=False``
    (`listen_error_messages` in its worker.py), and standard output is for our own results.
    """

    def write(self, text: str) -> int:
        said = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().removeprefix("(raylet)")
        if said:
            LOG.warning("Ray: %s", re.split(r"(?<=\.) |\n", said.strip(), maxsplit=1)[0])
        return len(text)

    def flush(self) -> None:
        """Does nothing: no text is buffered."""


def _import_path() -> str:
    """PYTHONPATH with the driver's import path, its working folder first, as with ``python -m``."""
    return os.pathsep.join(
        dict.fromkeys([str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    ).rstrip(os.pathsep)


def _not_started(reason: str) -> JobError:
    return JobError(
        f"Ray did not start on this machine: {reason}",
        cure="check cluster.object_store_bytes and the free space in /dev/shm; verbose=true shows Ray's own messages",
    )


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Silences standard error at the file descriptor, for the time of `ray.init`.

    With RAY_BACKEND_LOG_LEVEL set, Ray's C++ core writes one line that says so; without it, several errors in each run
    about Ray Data's own actors. No switch silences both.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
