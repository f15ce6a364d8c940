"""`python -m jobs.batch_infer +dataset=...`: predicts every image of a dataset and publishes the rows as Parquet."""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from actors.storage.store import Storage
from actors.storage.uris import absolute
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.logs import log_closing, name_run
from jobs.cli.phases import phase
from jobs.cli.shutdown import Shutdown
from jobs.cli.terminal import show
from jobs.cli.verb_main import verb_main
from jobs.cluster.local_ray import LocalRay
from jobs.cluster.ray_start import prepare
from jobs.config import to_job
from jobs.job import Job
from jobs.leases.slices import OutputLock, Slice
from jobs.planning.dry_run import show_forecast
from jobs.planning.export_ahead import export_ahead, preload_ahead
from jobs.reporting.clock import Clock
from jobs.reporting.notice import notify_end, notify_error
from jobs.reporting.origin import origin_of
from jobs.reporting.report import Report
from jobs.runs.bundle_choice import with_form
from jobs.runs.commit import Outcome, collect, publish, write_document
from jobs.runs.decode_switch import read_switches
from jobs.runs.empty_runs import without_empty
from jobs.runs.opening import Run, open_run
from jobs.runs.preflight import preflight
from jobs.runs.redrive import settle
from jobs.runs.run_choice import run_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from jobs.job import Job
    from jobs.leases.lease import Lease
    from jobs.reporting.execution import Execution
    from jobs.runs.preflight import Preflight

LOG = logging.getLogger("shardlens")


@verb_main("batch_infer")
def main(config: DictConfig) -> None:
    end_with(lambda: batch_infer(to_job(config)), verbose=bool(config.verbose), log_format=config.log.format)


class Inferred(NamedTuple):
    """A run that a command has completed, resumed, or found published."""

    status: ExitStatus
    run: Run


def batch_infer(job: Job) -> ExitStatus:
    """Runs the job to its end, or plans it. The last line on standard output is the run's folder, or the output for a
    plan. Raises like `infer`.
    """
    if job.run.plan_only:
        show_forecast(job)
        return ExitStatus.DONE
    return infer(job).status


def infer(job: Job, shared: LocalRay | None = None, stop: Shutdown | None = None) -> Inferred:
    """Runs the job to its end, and prints the run's folder on the last line.

    Args:
        job: the job.
        shared: Ray of the caller, which stays up; None starts Ray for this job.
        stop: stops the job early.

    Raises:
        JobError: the job is wrong; nothing was started.
        HeldError: another driver holds this output.
        StoppedError: stopped at once; the same command resumes.
    """
    stop = stop or Shutdown(job.run.grace_s)
    stop.install()
    try:
        inferred = _infer(job, stop, shared)
    except BaseException as error:
        notify_error(job, error)
        raise
    notify_end(job, inferred.status, inferred.run.report, inferred.run.storage)
    return inferred


def _infer(job: Job, stop: Shutdown, shared: LocalRay | None) -> Inferred:
    clock = Clock()
    started = nullcontext(shared) if shared else LocalRay(job.cluster, verbose=job.verbose)
    with phase("collecting the parts"), started as ray:
        with phase("checking the model"):
            job = with_form(job)
            checked = preflight(job, before_loading=ray.begin)
        clock.lap("check")
        return _run(job, checked, stop, clock, ray)


def _run(job: Job, checked: Preflight, stop: Shutdown, clock: Clock, ray: LocalRay) -> Inferred:
    storage, part = Storage(job.output.storage_options), Slice.of(job.run)
    run_id = run_id_of(job) if job.run.id else ""
    lock = OutputLock(absolute(job.output.path), storage, part, run_id, job.run.lease_s, on_lost=stop.interrupt)
    with lock.hold() as lease:
        with phase("listing the images"), lock.enter():
            run = without_empty(opened := open_run(job, checked, storage))
        lease.run_id = run.record.run_id
        name_run(run.record.run_id)
        clock.lap("list")
        if run.record.is_published:
            if run is opened:
                LOG.info("run.id=%s ended before: nothing to do", run.record.run_id)
            status = ExitStatus.DONE
        else:
            status = _complete(run, lock, lease, stop, clock, ray)
        show(run.paths.run)  # the contract: the last line on standard output
        return Inferred(status, run)


def _complete(
    run: Run, lock: OutputLock, lease: Lease, stop: Shutdown, clock: Clock, ray: LocalRay | None = None
) -> ExitStatus:
    """Completes this driver's part of the run, and publishes a complete run, unless too many images failed or a stop
    was requested.
    """
    before = run.collect()
    num_rows, num_done = before.coverage.num_listed, before.coverage.num_rows
    done_before = f", {num_done:,} of them done before" if num_done else ""
    what = f"{num_rows:,} images{done_before}" if num_rows else "no new image: nothing to do"
    LOG.info("run %s%s: %s", run.record.run_id, "" if run.part.is_whole else f", {run.part}", what)
    outcome, execution = before, None
    if before.coverage.num_missing and not _is_over_budget(run, before):
        outcome, execution = _execute(run, before, lease, stop, clock, ray)
    if run.part.is_whole:
        outcome = _sealed(run, outcome, lock)
    status = _judge(run, outcome)
    clock.lap("commit")
    report = _report(run, status, outcome, before=before.standing_in(outcome), execution=execution, clock=clock)
    _write(report, run.report, run)
    if _may_publish(run, outcome):
        with lock.enter() as output_lease:
            leases = [lease, output_lease] if output_lease else [lease]
            status = _publish(run, outcome, status, lock, leases)
    if run.job.report.html and run.storage.kind(run.paths.success) and not run.storage.kind(run.paths.page):
        from jobs.pages.page_file import add_page  # noqa: PLC0415  loaded meanwhile

        add_page(run.job, run.paths.root, run.record.run_id, sum(clock.seconds.values()))
    report.show()
    log_closing(report.closing())
    return status


def _publish(run: Run, outcome: Outcome, status: ExitStatus, lock: OutputLock, leases: Sequence[Lease]) -> ExitStatus:
    """Publishes the run, unless other slices are unfinished or one of them has published it. Returns the status of the
    whole run.
    """
    if not run.part.is_whole:
        if run.storage.kind(run.paths.success):
            return ExitStatus.DONE
        outcome = collect(run.paths, run.storage, run.shards.sizes, before=outcome)
        if num_missing := outcome.coverage.num_missing:
            LOG.info("%s is done; %s images are left to the others, the last publishes", run.part, f"{num_missing:,}")
            return ExitStatus.DONE
        outcome = _sealed(run, outcome, lock)
        status = _judge(run, outcome)
        report = _report(run, status, outcome, before=outcome)
        _write(report, run.paths.report, run)
        if not _may_publish(run, outcome):
            return status
    for lease in leases:
        lease.check()
    about = {**run.checked.provenance, "run_id": run.record.run_id, "mode": run.record.identity.mode}
    publish(outcome, run.paths, run.storage, about | {"inventory_digest": run.record.inventory_digest})
    settle([run.record.published()], run.paths.root, run.storage)
    return status


def _sealed(run: Run, outcome: Outcome, lock: OutputLock) -> Outcome:
    """Collects the final outcome of a complete run, when no writer can add to it anymore."""
    if outcome.coverage.num_missing:
        return outcome
    lock.seal()
    return collect(run.paths, run.storage, run.shards.sizes, before=outcome)


def _write(report: Report, uri: str, run: Run) -> None:
    write_document(uri, json.dumps(report.to_json(), indent=1).encode(), run.storage)


def _report(
    run: Run,
    status: ExitStatus,
    outcome: Outcome,
    *,
    before: Outcome,
    execution: Execution | None = None,
    clock: Clock | None = None,
) -> Report:
    """Report of this command or, without ``clock``, of a run shared by slices."""
    return Report(
        paths=run.paths,
        status=status,
        outcome=outcome,
        before=before,
        execution=execution,
        elapsed_s=clock.seconds if clock else {},
        price_per_hour=run.job.cluster.price_per_hour,
        currency=run.job.cluster.currency,
        passed_over=run.record.passed_over,
        switches=read_switches(run.paths, run.storage),
        answers=run.job.task.summary(outcome.summary.counters),
        origin=origin_of(run),
    )


def _execute(
    run: Run, before: Outcome, lease: Lease, stop: Shutdown, clock: Clock, ray: LocalRay | None = None
) -> tuple[Outcome, Execution]:
    if ray is not None:
        ray.begin()  # meanwhile, the driver exports the network and imports the modules that use Ray
        preload_ahead(run, ray, num_missing=before.coverage.num_missing)
    if run.job.report.html:
        Thread(target=_load_templates, daemon=True).start()
    with phase("exporting the network"):
        export_ahead(run, num_missing=before.coverage.num_missing)
    with phase("starting a cluster here"):
        prepare(run.job.cluster, verbose=run.job.verbose)
        from jobs.dataflow.session import execute  # noqa: PLC0415  imports Ray, for which a wrong job should not wait

    return execute(run, before, lease, stop, clock, ray)


def _load_templates() -> None:
    """Loads the page templates ahead of time, so that the end of the run does not wait for them."""
    from jobs.pages.page import load_templates  # noqa: PLC0415

    load_templates()


def _judge(run: Run, outcome: Outcome) -> ExitStatus:
    if _is_over_budget(run, outcome):
        LOG.error(
            "%s of %s images failed, more than errors.max_ratio=%s, errors.max_count=%s allow; nothing was published",
            f"{outcome.summary.num_errors:,}",
            f"{outcome.summary.num_images:,}",
            run.job.errors.max_ratio,
            run.job.errors.max_count,
        )
        LOG.error("  fix: raise the limits and run again, or fix the cause and run again with run.redrive=true")
        return ExitStatus.OVER_BUDGET
    if _is_all_failed(run, outcome):
        LOG.error(
            "all %s images failed; %s",
            f"{outcome.summary.num_errors:,}",
            "published as error rows next to those of earlier runs" if run.is_addition else "nothing was published",
        )
        LOG.error(
            "  fix: see %s; fix the cause and run again with run.redrive=true, or exclude the images from the "
            "dataset (dataset.exclude)",
            run.paths.errors,
        )
        return ExitStatus.OVER_BUDGET
    if outcome.coverage.num_missing:
        LOG.warning("stopped before the end; nothing was published")
        return ExitStatus.STOPPED
    return ExitStatus.DONE


def _may_publish(run: Run, outcome: Outcome) -> bool:
    """Returns True if nothing is missing and the error budget holds. A run in which every image failed is published
    only if there are earlier runs: otherwise every later command would resume it and never reach new images.
    """
    if outcome.coverage.num_missing or _is_over_budget(run, outcome):
        return False
    return run.is_addition or not _is_all_failed(run, outcome)


def _is_over_budget(run: Run, outcome: Outcome) -> bool:
    return run.job.errors.is_exceeded(outcome.summary.num_images, outcome.summary.num_errors)


def _is_all_failed(run: Run, outcome: Outcome) -> bool:
    """Returns True if the run has images, however few, and none has a prediction."""
    is_whole = outcome.coverage.num_rows == run.record.num_listed
    return is_whole and outcome.summary.num_errors > 0 and not outcome.summary.num_ok


if __name__ == "__main__":
    run_verb(main)
