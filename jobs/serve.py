"""`python -m jobs.serve model.source=... task=...`: answers HTTP requests with the rows that a job would write."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, TextIO, cast

from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.shutdown import Shutdown, StoppedError
from jobs.cli.terminal import show
from jobs.cli.verb_main import verb_main
from jobs.cluster.connection import connect
from jobs.cluster.ray_start import prepare
from jobs.config import to_job
from jobs.serving.recipe import serving_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omegaconf import DictConfig

    from jobs.serving.config import ServeJob

LOG = logging.getLogger("shardlens")


@verb_main("serve")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: serve(cast("ServeJob", to_job(config))), verbose=verbose, resumes=False, log_format=log_format)


def serve(job: ServeJob) -> ExitStatus:
    """Serves until Ctrl-C or SIGTERM. The URL is the first line on standard output, once requests are answered.

    Raises:
        JobError: the job is wrong: nothing listens.
        StoppedError: stopped before the endpoint answered.
    """
    Shutdown(grace_s=0).install()
    job.check()
    token_digest = job.serve.token_digest()
    recipe = serving_recipe(job, is_here=job.cluster.is_here)
    prepare(job.cluster, verbose=job.verbose)
    stdout = sys.stdout  # `connect` takes its place for what Ray prints
    with connect(job.cluster, verbose=job.verbose):
        from jobs.serving import application  # noqa: PLC0415  imports Ray, which must come after `prepare`
        from jobs.serving.ingress import Access  # noqa: PLC0415  as above

        access, may_grow = Access(job.serve, token_digest), not job.cluster.is_here
        if job.serve.roll_out:
            application.roll_out(access, recipe, may_grow=may_grow)
            LOG.info("%s answers with %s now", job.serve.url, recipe.model.where)
            return ExitStatus.DONE
        with _ended(job.serve.timeout_s):
            application.start(access, recipe, may_grow=may_grow)
            address = application.cluster_address()
            _wait(job.serve.url, address, stdout)
    LOG.info("stopped")
    return ExitStatus.DONE


def _wait(url: str, address: str, stdout: TextIO) -> None:
    """Says where the endpoint and its Ray are, and returns once a signal came."""
    with _stop_on_signal() as stopped:
        with redirect_stdout(stdout):
            show(url)
            stdout.flush()
        LOG.info("another model: RAY_AUTH_MODE=token, serve.roll_out=true cluster.address=%s", address)
        stopped.wait()


@contextmanager
def _ended(timeout_s: float) -> Iterator[None]:
    """Ends the endpoint after the block, within a time: Ray may have got the signal, too, and not answer any more."""
    from jobs.serving import application  # noqa: PLC0415  imports Ray, which must come after `prepare`

    try:
        yield
    finally:
        ended = threading.Thread(target=application.stop, args=(timeout_s,), daemon=True)
        ended.start()
        deadline = time.monotonic() + timeout_s
        while ended.is_alive() and application.ray_lives() and time.monotonic() < deadline:
            ended.join(_POLL_S)


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


_POLL_S = 0.2

if __name__ == "__main__":
    run_verb(main)
