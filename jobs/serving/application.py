"""The Ray Serve application: an ingress that decodes, and replicas of the model behind it. Made on the driver, or by
Ray Serve from ``import_path: jobs.serving.application:build``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray import serve as ray_serve

from actors.errors import JobError
from actors.predictor import Predictor
from jobs.config import compose_serving
from jobs.serving.deployment import ModelReplica
from jobs.serving.ingress import Ingress, Settings
from jobs.serving.recipe import serving_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from ray.serve import Application

    from actors.recipe import Recipe
    from jobs.serving.config import Serve


def build(args: Mapping[str, Any]) -> Application:
    """Builds the application for `serve run`, `serve deploy` and a RayService, which listen where Ray Serve says.

    Args:
        args: ``{"overrides": [...]}``, those of `python -m jobs.serve`. `serve.token_file` is needed, and must exist on
            every node. `serve.host`, `serve.port` and `cluster` have no effect.

    Raises:
        JobError: the job is wrong.
    """
    if unknown := set(args) - {"overrides"}:
        raise JobError(f"args: no key {min(unknown)}", cure="give args: {overrides: [KEY=VALUE, ...]}")
    job = compose_serving(args.get("overrides") or [])
    job.serve.check_values()
    job.decode.check()
    if job.serve.token_file is None:
        raise JobError(
            "serve.token_file: not given, and Ray Serve listens on every address of its nodes",
            cure="give serve.token_file=FILE with a bearer token",
        )
    recipe = serving_recipe(job)
    return application(job.serve, recipe, Predictor(recipe).fields)


def application(options: Serve, recipe: Recipe, fields: Sequence[pa.Field]) -> Application:
    """The ingress bound to the replicas of the model.

    Args:
        options: values in range.
        recipe: model, engine and task, which have been tried.
        fields: columns of the task.

    Raises:
        JobError: the token cannot be read, or could be guessed.
    """
    replica = ray_serve.deployment(
        name="model",
        max_ongoing_requests=2 * options.batch_size,  # the next batch fills while one is computed
        max_queued_requests=options.max_queued,
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "max_replicas": options.max_replicas,
            "target_ongoing_requests": options.batch_size,
        },
        ray_actor_options={"num_cpus": options.cpus_per_replica, "num_gpus": options.gpus_per_replica},
    )(ModelReplica)
    ingress = ray_serve.deployment(
        name="ingress", max_ongoing_requests=_MOST_REQUESTS, ray_actor_options={"num_cpus": 0.1}
    )(ray_serve.ingress()(Ingress))
    settings = Settings(options, recipe.limits, recipe.model.preprocess, fields, options.token_digest())
    return ingress.bind(replica.bind(recipe, options.batch_size, options.batch_wait_s), settings)


_MOST_REQUESTS = 1000  # requests that read or wait at a time; the queue of the model is what limits them
