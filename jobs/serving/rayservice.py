"""The endpoint as a single application behind Ray Serve's proxy: for `serve run`, `serve deploy` and a RayService, with
``import_path: jobs.serving.rayservice:build``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray import serve as ray_serve

from actors.errors import JobError
from jobs.config import compose_serving
from jobs.serving.application import model_deployment
from jobs.serving.ingress import Access, Guard, Ingress
from jobs.serving.model_version import ModelVersion
from jobs.serving.recipe import serving_recipe
from jobs.serving.routes import build_app

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle


class ProxiedIngress(Ingress):
    """Answers requests forwarded by Ray Serve's proxy, with the model of its own application."""

    def __init__(self, access: Access, model: DeploymentHandle[Any]) -> None:
        super().__init__(access)
        self._model = model

    def __serve_build_asgi_app__(self) -> Guard:
        return Guard(self, build_app(self))

    async def reconfigure(self, config: dict[str, str]) -> None:  # noqa: ARG002  Ray Serve passes it
        """Requests the settings of the model. Ray Serve calls this when a replica starts."""
        self._version = ModelVersion(await self._model.settings.remote(), self.serve, self._model)


def build(args: Mapping[str, Any]) -> Application:
    """Builds the application.

    Args:
        args: ``{"overrides": [...]}``, as for `python -m jobs.serve`. `serve.token_file` is required and must exist on
            every node. `serve.host`, `serve.port`, `serve.roll_out` and `cluster` have no effect.

    Raises:
        JobError: the job is invalid.
    """
    if unknown := set(args) - {"overrides"}:
        raise JobError(f"args: no key {min(unknown)}", fix="give args: {overrides: [KEY=VALUE, ...]}")
    job = compose_serving(args.get("overrides") or [])
    options = job.serve
    options.check_values()
    job.decode.check()
    if options.token_file is None:
        raise JobError(
            "serve.token_file: not given, and Ray Serve listens on every address of its nodes",
            fix="give serve.token_file=FILE with a bearer token",
        )
    recipe = serving_recipe(job, is_here=False)
    ingress = ray_serve.deployment(
        name="ingress",
        user_config={},
        max_ongoing_requests=_MOST_REQUESTS,
        ray_actor_options={"num_cpus": 0.1},
    )(ray_serve.ingress()(ProxiedIngress))
    access = Access(options, options.token_digest())
    return ingress.bind(access, model_deployment(options).bind(recipe))


_MOST_REQUESTS = 1000  # requests read or waiting at a time; `serve.max_queued` limits images
