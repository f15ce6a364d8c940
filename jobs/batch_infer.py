"""`python -m jobs.batch_infer +dataset=...`: predicts every image of a dataset and publishes the rows as Parquet."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import hydra

from actors.storage import Storage
from jobs.cluster import prepare
from jobs.command import ExitStatus, catch_signals, end_with, run_verb
from jobs.commit import collect, publish
from jobs.config import Job, to_job
from jobs.preflight import preflight
from jobs.report import Clock, Report
from jobs.runs import open_run, run_paths

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from actors.run_paths import RunPaths
    from actors.shards import Shards
    from actors.summaries import Summary
    from jobs.execution import Execution
    from jobs.preflight import Preflight

LOG = logging.getLogger("shardlens")


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="batch_infer")
def main(config: DictConfig) -> None:
    end_with(lambda: batch_infer(to_job(config)), verbose=bool(config.verbose))


def batch_infer(job: Job) -> ExitStatus:
    """Runs the job to its end. The last line on standard output names the run's folder.

    Raises:
        JobError: the job is wrong; nothing was started.
        IncompleteRunError: an image was left without an outcome; nothing was published.
    """
    catch_signals()
    clock = Clock()
    checked = preflight(job)
    paths = run_paths(job, checked.fingerprint)
    storage = Storage(job.output.storage_options)
    clock.lap("check")
    shards = open_run(job, paths, storage, checked.provenance)
    if shards is None:
        LOG.info("run.id=%s ended before: nothing to do", paths.run_id)
        return _end(ExitStatus.DONE, paths)
    clock.lap("list")
    LOG.info("run %s: %s images in %s shards", paths.run_id, f"{shards.num_rows:,}", f"{shards.num_shards:,}")
    execution = _execute(job, checked, paths, shards, clock) if shards.num_shards else None
    outcome = collect(paths, storage, shards.sizes.tolist())
    status = _judge(job, outcome.summary)
    clock.lap("commit")
    report = Report(paths, status, outcome.summary, execution, clock.seconds)
    storage.write(paths.report, json.dumps(report.to_json(), indent=1).encode())
    if status is ExitStatus.DONE:
        publish(outcome, paths, storage, checked.provenance)
    report.show()
    return _end(status, paths)


def _execute(job: Job, checked: Preflight, paths: RunPaths, shards: Shards, clock: Clock) -> Execution:
    prepare(job.cluster, verbose=job.verbose)
    from jobs.execution import execute  # noqa: PLC0415  brings Ray in, which a wrong job should not wait for

    return execute(job, checked, paths, shards, clock)


def _judge(job: Job, summary: Summary) -> ExitStatus:
    """Whether the errors stay within the budget."""
    budget, num_images = job.errors, summary.num_images
    over_count = budget.max_count is not None and summary.num_errors > budget.max_count
    over_ratio = num_images >= budget.min_sample and summary.num_errors > budget.max_ratio * num_images
    if not over_count and not over_ratio:
        return ExitStatus.DONE
    limit = f"errors.max_count={budget.max_count}" if over_count else f"errors.max_ratio={budget.max_ratio}"
    LOG.error(
        "%s of %s images failed, more than %s allows; nothing was published", summary.num_errors, num_images, limit
    )
    return ExitStatus.OVER_BUDGET


def _end(status: ExitStatus, paths: RunPaths) -> ExitStatus:
    print(paths.run)  # noqa: T201  the contract: the last line on standard output
    return status


if __name__ == "__main__":
    run_verb(main)
