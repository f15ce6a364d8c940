"""`python -m jobs.serve model.source=... task=...`: answers HTTP requests with the rows that a job would write."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import hydra

from actors.engines.configs import AUTO, default_engine
from actors.errors import JobError
from actors.predictor import Predictor
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.shutdown import Shutdown, StoppedError
from jobs.cli.terminal import show
from jobs.cluster.connection import connect
from jobs.cluster.ray_start import prepare
from jobs.config import CONFIG_DIR, to_job
from jobs.runs.bundle_choice import with_form

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omegaconf import DictConfig

    from actors.recipe import Recipe
    from jobs.serving.config import ServeJob
    from jobs.serving.ingress import Settings

LOG = logging.getLogger("shardlens")


@hydra.main(version_base="1.3", config_path=CONFIG_DIR, config_name="serve")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: serve(cast("ServeJob", to_job(config))), verbose=verbose, resumes=False, log_format=log_format)


def serve(job: ServeJob) -> ExitStatus:
    """Serves until Ctrl-C or SIGTERM. The URL is the first line on standard output, once requests are answered.

    Raises:
        JobError: the job is wrong: nothing listens.
    """
    Shutdown(grace_s=0).install()
    job.serve.check()
    job.decode.check()
    job.cluster.check()
    token_digest = job.serve.token_digest()
    recipe = _recipe(job)
    fields = Predictor(recipe).fields  # tries the model, and the golden images of its bundle, before anything listens
    prepare(job.cluster, verbose=job.verbose)
    stdout = sys.stdout  # `connect` takes its place for what Ray prints
    with connect(job.cluster, verbose=job.verbose):
        from jobs.serving.ingress import Settings  # noqa: PLC0415  imports Ray, which must come after `prepare`

        settings = Settings(job.serve, recipe.limits, recipe.model.preprocess, fields, token_digest)
        with _running(job, recipe, settings), _stop_on_signal() as stopped:
            with redirect_stdout(stdout):
                show(f"http://{job.serve.host}:{job.serve.port}")
                stdout.flush()
            stopped.wait()
    LOG.info("stopped")
    return ExitStatus.DONE


def _recipe(job: ServeJob) -> Recipe:
    """The model, the form that runs, and the engine; auto is the first engine that reads the form."""
    if job.task.tiling:
        raise JobError(
            "task.tile.size: jobs.serve cuts no tiles", cure="leave it at null, or run python -m jobs.batch_infer"
        )
    chosen = with_form(job.job)
    if chosen.engine.name == AUTO:
        chosen = replace(chosen, engine=default_engine(chosen.model))
        LOG.info("engine.name=auto: %s", chosen.engine.name)
    recipe = chosen.recipe
    recipe.check()
    return recipe


@contextmanager
def _running(job: ServeJob, recipe: Recipe, settings: Settings) -> Iterator[None]:
    """Runs the application for the block, once its replicas are ready."""
    from ray import serve as ray_serve  # noqa: PLC0415  must come after `prepare`

    from jobs.serving.deployment import ModelReplica  # noqa: PLC0415  as above
    from jobs.serving.ingress import Ingress  # noqa: PLC0415  as above

    options = job.serve
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
    ray_serve.start(http_options={"host": options.host, "port": options.port})
    try:
        model = replica.bind(recipe, options.batch_size, options.batch_wait_s)
        ray_serve.run(ingress.bind(model, settings), name="shardlens")
        yield
    finally:
        ray_serve.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that the first SIGTERM or Ctrl-C sets, instead of interrupting; a second one raises."""
    stopped = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    kept = {number: signal.getsignal(number) for number in numbers}

    def stop(*_: object) -> None:
        if stopped.is_set():
            raise StoppedError
        stopped.set()

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


_MOST_REQUESTS = 1000  # requests that read or wait at a time; the queue of the model is what limits them

if __name__ == "__main__":
    run_verb(main)
