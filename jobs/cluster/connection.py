"""The Ray cluster that a job runs on: started here, or joined. Runs on the driver."""

from __future__ import annotations

import logging
import os
import re
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
    """Stands in for standard output, on which Ray prints pages when a worker dies: each becomes one line of the log."""

    def write(self, text: str) -> int:
        said = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().removeprefix("(raylet)")
        if said:
            LOG.warning("Ray: %s", re.split(r"(?<=\.) |\n", said.strip(), maxsplit=1)[0])
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def _import_path() -> str:
    """PYTHONPATH by which workers find what the driver finds, its working folder first, as with ``python -m``."""
    return os.pathsep.join(
        dict.fromkeys([str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    ).rstrip(os.pathsep)


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
