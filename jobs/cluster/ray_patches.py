"""Starts Ray on this machine without the processes that a job never uses, and shields the others from signals to the
driver's group. Runs on the driver. Ray has no switches for this: the dashboard's process runs even with
``include_dashboard=False``, and Ray Data starts actors for its statistics, for the places of its workers, and to divide
the cluster.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial, partialmethod
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from actors.messages import one_line
from jobs.cluster import fork_server, lazy_agent
from jobs.cluster.fork_server import CLIENT, ForkServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ray.data._internal.cluster_autoscaler import ClusterAutoscaler

    Replacement = tuple[object, str, object]
    """Owner, name, and the other value."""

LOG = logging.getLogger("shardlens")

TRIED_VERSIONS = frozenset({"2.60.0"})
"""Versions of Ray on which the patches were measured and tested; others run unpatched."""

# The figures beside the patches are CPU seconds of all processes for one start, small pipeline and stop of Ray on two
# CPUs, with that patch off and the others on; medians of three runs in turn. With all on: 6.4.


@contextmanager
def lean_ray(*, logs: bool = False, metrics: bool = False) -> Iterator[ForkServer | None]:
    """Makes `ray.init` start neither dashboard nor autoscaler, nor what serves them. Must enclose all use of that Ray.
    Yields the server that forks its workers, where forks are supported.

    Ray's processes get their own process group: a signal to the driver's group, as sent by `timeout` and many
    supervisors, then reaches only the driver, which stops Ray in order.

    Args:
        logs: keep the process that sends the output of workers to the driver.
        metrics: keep the agent that serves the metrics page.
    """
    if not _is_tried():
        LOG.info(
            "Ray %s starts unpatched, a few seconds slower: not one of %s on Linux or macOS",
            version("ray"),
            ", ".join(TRIED_VERSIONS),
        )
        yield None
        return
    with ExitStack() as patches:
        forks = None
        if fork_server.IS_SUPPORTED:
            try:
                forks = patches.enter_context(ForkServer(_worker_script()))  # first, as its imports take a second
            except OSError as error:  # such as a TMPDIR too long for the name of a socket
                LOG.info("workers start without a fork server, a second slower: %s", one_line(error))
        replaced = _changes(logs=logs, metrics=metrics, worker=CLIENT if forks else "")
        patches.enter_context(_replacing(replaced))
        yield forks


def _changes(*, logs: bool, metrics: bool, worker: str) -> list[Replacement]:
    """Returns what `lean_ray` replaces. ``worker`` is the script that the raylet runs for each worker, if not Ray's."""
    # First, for its lock: parts of a package that two threads import at once may find the package unfinished.
    import ray  # noqa: F401, PLC0415
    from ray._private import services, utils  # noqa: PLC0415
    from ray._private.node import Node  # noqa: PLC0415

    command: Any = services._build_python_executable_command_memory_profileable  # noqa: SLF001
    replaced: list[Replacement] = [
        (services, "ConsolePopen", partial(services.ConsolePopen, process_group=0)),
        (services, "get_node", partial(_registered, find=services.get_node)),  # +0.3 s of wall time
        (Node, "start_api_server", _nothing),  # +0.7
        (Node, "start_monitor", _nothing),  # +0.6, and 1.2 s of wall time
        (Node, "start_raylet", partialmethod(_start_raylet, start=Node.start_raylet, metrics=metrics, worker=worker)),
        (services, command.__name__, partial(_command_of, start=command, metrics=metrics)),
    ]
    if not metrics:
        replaced.append((utils, "get_dashboard_dependency_error", _nothing))  # imports half a second of modules
    if not logs:
        replaced.append((Node, "start_log_monitor", _nothing))  # +1.9
    if worker:
        replaced.append((services, "_site_flags", lambda: ["-IS"]))  # it needs no installed packages
    return replaced


@contextmanager
def lean_ray_data() -> Iterator[None]:
    """Makes Ray Data keep no statistics and assume a fixed cluster of one node. Must enclose all its pipelines."""
    if not _is_tried():
        yield
        return
    from ray.data._internal.execution import streaming_executor  # noqa: PLC0415
    from ray.data._internal.execution.operators import actor_pool_map_operator as pool  # noqa: PLC0415
    from ray.data._internal.stats import _StatsManager  # noqa: PLC0415

    nowhere = SimpleNamespace(update_actor_location=SimpleNamespace(remote=_nothing))
    replaced: list[Replacement] = [
        (_StatsManager, "register_dataset_to_stats_actor", staticmethod(_nothing)),  # +1.9, all 3
        (_StatsManager, "update_execution_metrics", staticmethod(_nothing)),
        (_StatsManager, "update_iteration_metrics", staticmethod(_nothing)),
        (streaming_executor, "create_cluster_autoscaler", _fixed_cluster),  # +1.4
        (pool, "get_or_create_actor_location_tracker", lambda: nowhere),  # +0.4, both
        (pool, "get_actor_locations", lambda _: {}),  # Ray Data keeps the node that a worker has reported
    ]
    with _replacing(replaced):
        yield


def _is_tried() -> bool:
    return version("ray") in TRIED_VERSIONS and sys.platform != "win32"


def _worker_script() -> str:
    """Returns the path of Ray's script for a worker."""
    [folder] = find_spec("ray").submodule_search_locations or []  # type: ignore[union-attr]  # it is installed
    return str(Path(folder, "_private", "workers", "default_worker.py"))


def _start_raylet(
    node: Any, *arguments: Any, start: Callable[..., None], metrics: bool, worker: str, **options: Any
) -> None:
    """Starts a raylet, which waits until its agents have stored their ports. As Ray's own minimal agent does, -1 stands
    for a service that is missing.
    """
    from ray import _raylet  # noqa: PLC0415

    raylet: Any = _raylet  # compiled, without types
    if not metrics:
        for name in (
            raylet.METRICS_AGENT_PORT_NAME,
            raylet.METRICS_EXPORT_PORT_NAME,
            raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME,
        ):
            raylet.persist_port(node.get_session_dir_path(), node.node_id, name, -1)
    if worker:
        node._ray_params.update(worker_path=worker)  # noqa: SLF001
    start(node, *arguments, **options)


def _registered(gcs_address: str, node_id: str, *, find: Callable[[str, str], object]) -> object:
    """Returns information about a node once it has registered. Ray itself would look again only after a second."""
    from ray._private.services import _get_gcs_client_options  # noqa: PLC0415
    from ray._private.state import GlobalState  # noqa: PLC0415

    state: Any = GlobalState()  # type: ignore[no-untyped-call]
    state._initialize_global_state(_get_gcs_client_options(gcs_address))  # type: ignore[no-untyped-call]  # noqa: SLF001
    ends_at = time.monotonic() + _REGISTERED_S
    while all(node["NodeID"] != node_id for node in state.node_table()) and time.monotonic() < ends_at:
        time.sleep(_LOOK_S)
    return find(gcs_address, node_id)


_REGISTERED_S, _LOOK_S = 5.0, 0.02


def _command_of(
    component: str, *arguments: Any, start: Callable[..., list[str]], metrics: bool, **options: Any
) -> list[str]:
    """Returns the first words of the command of a process of Ray. A raylet exits if one of its agents does."""
    from ray._private import ray_constants  # noqa: PLC0415

    if component == ray_constants.PROCESS_TYPE_RUNTIME_ENV_AGENT:
        return [sys.executable, "-IS", lazy_agent.__file__]  # +0.7
    if component == ray_constants.PROCESS_TYPE_DASHBOARD_AGENT and not metrics:
        # Reads a pipe from the raylet until that exits, and ignores further words. +2.6, and 2.7 s of wall time
        return ["sh", "-c", "exec cat"]
    return start(component, *arguments, **options)


@contextmanager
def _replacing(replaced: list[Replacement]) -> Iterator[None]:
    with ExitStack() as patches:
        for owner, name, other in replaced:
            patches.enter_context(_replaced(owner, name, other))
        yield


@contextmanager
def _replaced(owner: Any, name: str, other: object) -> Iterator[None]:
    kept = vars(owner)[name]
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def _nothing(*_: object, **__: object) -> None:
    """Starts nothing."""


def _fixed_cluster(*_: object, **__: object) -> ClusterAutoscaler:
    """Returns a Ray Data autoscaler for a cluster that does not grow and has one driver."""
    import ray  # noqa: PLC0415
    from ray.data import ExecutionResources  # noqa: PLC0415
    from ray.data._internal.cluster_autoscaler import ClusterAutoscaler  # noqa: PLC0415

    class FixedCluster(ClusterAutoscaler):
        def try_trigger_scaling(self) -> None:
            """Requests nothing."""

        def on_executor_shutdown(self) -> None:
            """Has no request to cancel."""

        def get_total_resources(self) -> ExecutionResources:
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            total: ExecutionResources = ExecutionResources.from_resource_dict(resources)
            return total

    return FixedCluster()
