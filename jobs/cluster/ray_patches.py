"""A Ray of this machine's own without the processes that a job never asks, which take seconds of each start.

Ray has no switch for them: the dashboard's runs without a dashboard too (`start_api_server` in `services.py`), and Ray
Data has actors for its statistics and for sharing a cluster among jobs (`default_autoscaling_coordinator.py`).
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray.data._internal.cluster_autoscaler import ClusterAutoscaler


@contextmanager
def lean_ray(*, with_logs: bool) -> Iterator[None]:
    """Within the block a `ray.init` that starts Ray leaves out its dashboard, its autoscaler and, unless ``with_logs``,
    what sends the workers' output to the driver; and Ray Data its statistics and its requests for nodes. To be around
    all that such a Ray runs. The metrics page stays.
    """
    # The parent sets what Ray reads at its import.
    from ray._private.node import Node  # noqa: PLC0415
    from ray.data._internal import stats  # noqa: PLC0415
    from ray.data._internal.execution import streaming_executor  # noqa: PLC0415

    with ExitStack() as replaced:
        for name in ("start_api_server", "start_monitor", *([] if with_logs else ["start_log_monitor"])):
            replaced.enter_context(_replaced(Node, name, _nothing))
        for name in ("register_dataset_to_stats_actor", "update_execution_metrics", "update_iteration_metrics"):
            replaced.enter_context(_replaced(stats._StatsManager, name, staticmethod(_nothing)))  # noqa: SLF001
        replaced.enter_context(_replaced(streaming_executor, "create_cluster_autoscaler", _fixed_cluster))
        yield


@contextmanager
def _replaced(owner: Any, name: str, other: object) -> Iterator[None]:
    """``other`` in the place of an attribute, where ``owner`` has it: a later Ray may not."""
    kept = vars(owner).get(name)
    if kept is None:
        yield
        return
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def _nothing(*_: object, **__: object) -> None:
    """Starts nothing, and tells nobody."""


def _fixed_cluster(*_: object, **__: object) -> ClusterAutoscaler:
    """For Ray Data: a cluster that is what it is, all of it for one driver."""
    import ray  # noqa: PLC0415
    from ray.data import ExecutionResources  # noqa: PLC0415
    from ray.data._internal.cluster_autoscaler import ClusterAutoscaler  # noqa: PLC0415

    class FixedCluster(ClusterAutoscaler):
        def try_trigger_scaling(self) -> None:
            """There is nothing to ask for."""

        def on_executor_shutdown(self) -> None:
            """Nothing was asked for."""

        def get_total_resources(self) -> ExecutionResources:
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            total: ExecutionResources = ExecutionResources.from_resource_dict(resources)
            return total

    return FixedCluster()
