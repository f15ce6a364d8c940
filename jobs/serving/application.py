"""Ray Serve applications of the endpoint: one that listens, and one per version of the model. Runs on the driver."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ray
from ray import serve as ray_serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.exceptions import RayServeException

from actors.errors import JobError
from actors.messages import one_line
from jobs.serving.deployment import ModelReplica
from jobs.serving.ingress import MODEL, Access, Ingress

if TYPE_CHECKING:
    from actors.recipe import Recipe
    from jobs.serving.config import Serve

LOG = logging.getLogger("shardlens")


def start(access: Access, recipe: Recipe, *, may_grow: bool) -> None:
    """Starts the endpoint, and returns once it answers requests.

    Args:
        access: config and token.
        recipe: the model.
        may_grow: True if nodes may still join the cluster.

    Raises:
        JobError: the replicas do not fit, the model does not start on a worker, or the endpoint cannot listen.
    """
    if _INGRESS_APP in ray_serve.status().applications:
        raise JobError(
            "jobs.serve: an endpoint runs on this cluster", fix="give serve.roll_out=true to change its model"
        )
    if not may_grow:
        access.serve.check_room(_free(), _INGRESS_CPUS)
    # Disables Ray's proxy, which would also listen.
    ray_serve.start(http_options=HTTPOptions(location=ProxyLocation.Disabled))
    _start_model(access.serve, recipe)
    address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    ingress = ray_serve.deployment(
        name="ingress",
        user_config={"models": _MODEL_APPS},
        max_ongoing_requests=2 * access.serve.batch_size * access.serve.max_replicas,  # as `serve.batch` requires
        ray_actor_options={"num_cpus": _INGRESS_CPUS, "resources": {f"node:{address}": 0.001}},
    )(Ingress)
    _run(ingress.bind(access), _INGRESS_APP)


def roll_out(access: Access, recipe: Recipe, *, may_grow: bool) -> None:
    """Starts a new version of the model next to the current one, switches the endpoint to it, and stops the old version
    once no request waits for it. No request fails, and none is answered by both.

    Args:
        access: config and token.
        recipe: the model.
        may_grow: True if nodes may still join the cluster.

    Raises:
        JobError: the model does not fit or start (the old one keeps answering), or no endpoint is running.
    """
    if _INGRESS_APP not in ray_serve.status().applications:
        raise JobError("serve.roll_out: no endpoint runs on the cluster", fix="leave serve.roll_out=false to start one")
    if not may_grow:
        access.serve.check_room(_free())
    earlier = _model_apps()
    app = _start_model(access.serve, recipe)
    ray_serve.get_app_handle(_INGRESS_APP).adopt.remote(app).result(timeout_s=access.serve.timeout_s + _STOP_S)
    for name in earlier:
        ray_serve.delete(name)


def stop(timeout_s: float) -> None:
    """Stops the endpoint once all requests are answered. Other applications on the cluster are not affected."""
    with suppress(RayServeException, RayError, TimeoutError):  # it may not be running or responding
        ray_serve.get_app_handle(_INGRESS_APP).close.remote().result(timeout_s=timeout_s)
    with suppress(RayServeException, RayError):
        for name in (_INGRESS_APP, *_model_apps()):
            ray_serve.delete(name, _blocking=False)


def cluster_address() -> str:
    """Returns the address of the Ray cluster that this process is connected to, for `cluster.address`."""
    return str(ray.get_runtime_context().gcs_address)


def ray_lives() -> bool:
    """Returns False once any process of a Ray cluster started here has ended."""
    node = _global_node()
    return node is None or bool(node.remaining_processes_alive())


def _global_node() -> Any:
    return ray._private.worker._global_node  # noqa: SLF001  no public call tells it without waiting for Ray


def model_deployment(options: Serve) -> Any:
    """Returns the deployment of the model, to be bound to a recipe."""
    return ray_serve.deployment(
        name=MODEL,
        max_ongoing_requests=2,  # the next batch arrives while one is computed
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "max_replicas": options.max_replicas,
            "target_ongoing_requests": 1,
        },
        ray_actor_options={"num_cpus": options.cpus_per_replica, "num_gpus": options.gpus_per_replica},
    )(ModelReplica)


def _start_model(options: Serve, recipe: Recipe) -> str:
    app = f"{_MODEL_APPS}{time.time_ns()}"
    _run(model_deployment(options).bind(recipe), app)
    return app


def _run(application: Any, name: str) -> None:
    try:
        ray_serve.run(application, name=name, route_prefix=None)
    except RuntimeError as error:
        found = ray_serve.status().applications.get(name)
        ray_serve.delete(name, _blocking=False)
        reasons = [one.message for one in found.deployments.values() if one.message] if found else []
        raise JobError(
            f"jobs.serve: {name} does not start: {one_line(RuntimeError(reasons[0])) if reasons else one_line(error)}",
            fix="verbose=true shows the logs of the workers",
        ) from None


def _free() -> dict[str, float]:
    found: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return found


def _model_apps() -> list[str]:
    return [name for name in ray_serve.status().applications if name.startswith(_MODEL_APPS)]


_INGRESS_APP = "shardlens"
_INGRESS_CPUS = 0.1
_MODEL_APPS = "shardlens-model-"
_STOP_S = 30.0
