"""Starts Ray on this machine without the processes that a job never uses, and shields the others from signals to the
driver's group. Runs on the driver. Ray has no switches for this: the dashboard's process runs even with
``include_dashboard=False``, and Ray Data starts an actor for its statistics and one that divides the cluster.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray.data._internal.cluster_autoscaler import ClusterAutoscaler

LOG = logging.getLogger("shardlens")

TRIED_VERSIONS = frozenset({"2.60.0"})
"""Versions of Ray on which the patches were measured and tested; others run unpatched."""


@contextmanager
def lean_ray() -> Iterator[None]:
    """Makes `ray.init` start neither dashboard nor autoscaler, and Ray Data keep no statistics and assume a fixed
    cluster. Must enclose everything that runs on that Ray. The metrics page remains available.

    Ray's processes get their own process group: a signal to the driver's group, as sent by `timeout` and many
    supervisors, then reaches only the driver, which stops Ray in order.
    """
    # The parent sets the environment that Ray reads on import.
    import ray  # noqa: PLC0415

    if ray.__version__ not in TRIED_VERSIONS:
        LOG.info(
            "Ray %s starts unpatched, a few seconds slower: not one of %s", ray.__version__, ", ".join(TRIED_VERSIONS)
        )
        yield
        return
    from ray._private import services  # noqa: PLC0415
    from ray._private.node import Node  # noqa: PLC0415
    from ray.data._internal import stats  # noqa: PLC0415
    from ray.data._internal.execution import streaming_executor  # noqa: PLC0415

    # CPU seconds of all processes for one start, small pipeline and stop of Ray on two CPUs, with one patch off and the
    # others on; medians of three runs in turn. With all on: 5.5. The log monitor takes at most 0.5, and stays.
    replaced: list[tuple[object, str, object]] = [
        (services, "ConsolePopen", partial(services.ConsolePopen, process_group=0)),
        (Node, "start_api_server", _nothing),  # +0.9
        (Node, "start_monitor", _nothing),  # +0.4, and 1.1 s of wall time at the stop
        (stats._StatsManager, "register_dataset_to_stats_actor", staticmethod(_nothing)),  # noqa: SLF001  +1.0, all 3
        (stats._StatsManager, "update_execution_metrics", staticmethod(_nothing)),  # noqa: SLF001
        (stats._StatsManager, "update_iteration_metrics", staticmethod(_nothing)),  # noqa: SLF001
        (streaming_executor, "create_cluster_autoscaler", _fixed_cluster),  # +0.9
    ]
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
