"""`python -m jobs.serve model.source=... task=...`: answers HTTP requests with the rows that a job would write."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, cast

import hydra

from actors.predictor import Predictor
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.shutdown import Shutdown, StoppedError
from jobs.cli.terminal import show
from jobs.cluster.connection import connect
from jobs.cluster.ray_start import prepare
from jobs.config import CONFIG_DIR, to_job
from jobs.serving.recipe import serving_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from omegaconf import DictConfig

    from actors.recipe import Recipe
    from jobs.serving.config import Serve, ServeJob

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
    job.serve.token_digest()  # before the model, which takes longer
    recipe = serving_recipe(job)
    fields = Predictor(recipe).fields  # tries the model, and the golden images of its bundle, before anything listens
    prepare(job.cluster, verbose=job.verbose)
    stdout = sys.stdout  # `connect` takes its place for what Ray prints
    with (
        connect(job.cluster, verbose=job.verbose),
        _running(job.serve, recipe, fields),
        _stop_on_signal() as stopped,
    ):
        with redirect_stdout(stdout):
            show(f"http://{job.serve.host}:{job.serve.port}")
            stdout.flush()
        stopped.wait()
    LOG.info("stopped")
    return ExitStatus.DONE


@contextmanager
def _running(options: Serve, recipe: Recipe, fields: Sequence[pa.Field]) -> Iterator[None]:
    """Runs the application for the block, once its replicas are ready."""
    from ray import serve as ray_serve  # noqa: PLC0415  must come after `prepare`

    from jobs.serving.application import application  # noqa: PLC0415  as above

    ray_serve.start(http_options={"host": options.host, "port": options.port})
    try:
        ray_serve.run(application(options, recipe, fields), name="shardlens")
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


if __name__ == "__main__":
    run_verb(main)
