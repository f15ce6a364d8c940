"""`python -m jobs.benchmark +dataset=...`: measures each stage of a job in isolation, the whole job, and the machine's
limit. Publishes nothing.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.storage.store import Storage
from jobs.benchmarking.figures import read_figures, write_figures
from jobs.benchmarking.scratch_folder import scratch
from jobs.benchmarking.table import notes_of, rates_of, unlike
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.phases import phase
from jobs.cli.shutdown import Shutdown
from jobs.cli.terminal import show, show_columns, show_pairs
from jobs.cli.verb_main import verb_main
from jobs.cluster.ray_start import prepare
from jobs.config import to_benchmark_job
from jobs.job import ErrorBudget
from jobs.runs.bundle_choice import with_form
from jobs.runs.opening import open_run
from jobs.runs.preflight import preflight

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from jobs.benchmarking.config import BenchmarkJob
    from jobs.benchmarking.figures import Figures

LOG = logging.getLogger("shardlens")


@verb_main("benchmark")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: benchmark(to_benchmark_job(config)), verbose=verbose, resumes=False, log_format=log_format)


def benchmark(job: BenchmarkJob) -> ExitStatus:
    """Prints the table, then the path of the figures on the last line of standard output.

    Raises:
        JobError: the job is wrong, or there is nothing to measure or compare with.
        StoppedError: stopped; no figures are written.
    """
    stop = Shutdown(job.run.grace_s)
    stop.install()
    job.benchmark.check()
    if job.task.tiling:
        fix = "measure the model without tiles: task.tile.size=null"
        raise JobError("task.tile.size: the benchmark compares jobs that predict whole images", fix=fix)
    # Checked before the measurement, which takes minutes, so that a wrong path fails early.
    earlier = read_figures(job.benchmark.compare) if job.benchmark.compare else None
    job, storage = with_form(job), Storage(job.output.storage_options)
    with phase("measuring"), scratch(job.benchmark.scratch, storage) as root:
        figures = _measure(measured(job, root), storage, stop)
    for difference in unlike(figures, earlier) if earlier else ():
        LOG.warning("not measured alike: %s", difference)
    show_columns(rates_of(figures, earlier))
    show_pairs(notes_of(figures), width=10)
    show(write_figures(figures, job.benchmark.output))
    return ExitStatus.DONE


def measured(job: BenchmarkJob, root: str) -> BenchmarkJob:
    """Copy of ``job`` for the measurement: with a limited number of images, below ``root``, without an error budget."""
    limits = [job.benchmark.images, *([] if job.dataset.limit is None else [job.dataset.limit])]
    return replace(
        job,
        dataset=replace(job.dataset, limit=min(limits)),
        output=replace(job.output, path=root),
        # Either would make the job look for a run of the user, but there is none below `root`.
        run=replace(job.run, id=None, redrive=False),
        errors=ErrorBudget(max_ratio=1.0, read_attempts=job.errors.read_attempts),
    )


def _measure(job: BenchmarkJob, storage: Storage, stop: Shutdown) -> Figures:
    with phase("checking the model"):
        checked = preflight(job)
    since = time.monotonic()
    # Includes sharding and writing the inventory, as in every job.
    with phase("listing the images"):
        run = open_run(job, checked, storage)
    listing_s = time.monotonic() - since
    if not run.shards.num_rows:
        raise JobError(f"dataset.path={job.dataset.path}: there are no images", fix="name a folder that has some")
    prepare(job.cluster, verbose=job.verbose)
    from jobs.benchmarking.measuring import measure  # noqa: PLC0415  imports Ray

    return measure(run, stop, listing_s=listing_s)


if __name__ == "__main__":
    run_verb(main)
