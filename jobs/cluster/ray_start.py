"""Starts Ray on this machine, or joins a cluster, without log noise. Runs on the driver."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors import fault_injection
from actors.errors import JobError
from actors.messages import one_line
from jobs.cluster.config import not_reached

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.cluster.config import Cluster

LOG = logging.getLogger("shardlens")


def prepare(cluster: Cluster, *, verbose: bool) -> None:
    """Sets the environment variables that Ray reads. Must be called before Ray is imported.

    Keeps every port of a Ray that is started here on 127.0.0.1. By default, Ray on Linux listens on all interfaces and
    serves metrics without a token; the variable set here is the one that keeps it on loopback on macOS and Windows
    (`ENABLE_RAY_CLUSTER` in its `ray_constants.py`).
    """
    if cluster.address is None:
        os.environ["PYTHONPATH"] = _import_path()  # the workers inherit it
        # Parts arrive seconds apart, and a writer takes two seconds to start: Ray ends idle processes after one.
        os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")
    if cluster.address is None or cluster.address.startswith("127."):  # or started this way by another command
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    if not verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its core warns about Ray Data's own actors
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a late call would start another Ray after ours stops
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning about a future default


def init_ray(cluster: Cluster, *, verbose: bool) -> None:
    """Calls `ray.init`. Raises `JobError` if Ray does not start here, or no cluster responds at ``cluster.address``."""
    import ray  # noqa: PLC0415  must come after `prepare`

    if cluster.address is None:
        options: dict[str, Any] = {"include_dashboard": False, "object_store_memory": cluster.object_store_bytes}
        options["_metrics_export_port"] = cluster.metrics_port
    else:
        # Ray expands the variable on each node; a folder that is missing on a node does no harm.
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


def _import_path() -> str:
    """Returns PYTHONPATH with the driver's import path, working folder first, as with ``python -m``."""
    return os.pathsep.join(
        dict.fromkeys([str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    ).rstrip(os.pathsep)


def _not_started(reason: str) -> JobError:
    return JobError(
        f"Ray did not start on this machine: {reason}",
        fix="check cluster.object_store_bytes and the free space in /dev/shm; verbose=true shows Ray's own messages",
    )


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Silences standard error at the file descriptor during `ray.init`. Our own log lines still get through.

    With RAY_BACKEND_LOG_LEVEL set, Ray's C++ core writes one line that says so; without it, several errors about Ray
    Data's own actors in each run. No switch silences both.
    """
    handlers = [one for one in LOG.handlers if isinstance(one, logging.StreamHandler) and one.stream is sys.__stderr__]
    with (
        os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace") as kept,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
    ):
        try:
            for handler in handlers:
                handler.setStream(kept)
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept.fileno(), 2)
            for handler in handlers:
                handler.setStream(sys.__stderr__)
