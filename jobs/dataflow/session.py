"""Executes an opened run on a cluster, from starting Ray to the last part. Runs on the driver; imports Ray."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ray.data import DataContext

from actors.engines.candidates import wants_gpu
from actors.errors import DecoderMismatchError
from actors.tracking.progress_counts import Pace
from jobs.cli.phases import phase
from jobs.cluster.connection import connect
from jobs.cluster.resources import await_nodes, cluster_resources
from jobs.cluster.taken_resources import warn_if_taken
from jobs.dataflow.engine_race import EngineRace
from jobs.dataflow.pipeline import run_pipeline
from jobs.dataflow.progress import follow
from jobs.dataflow.stages import plan_again, prepare_stages
from jobs.dataflow.stop_conditions import SilenceError, StopConditions
from jobs.dataflow.worker_errors import workers_errors
from jobs.reporting.execution import Execution
from jobs.reporting.metrics import Metrics
from jobs.runs.commit import IncompleteRunError
from jobs.runs.decode_switch import as_switched, switch_to_cpu

if TYPE_CHECKING:
    from actors.tracking.ledger import View
    from jobs.cli.shutdown import Shutdown
    from jobs.cluster.local_ray import LocalRay
    from jobs.dataflow.stages import Stages
    from jobs.leases.lease import Lease
    from jobs.reporting.clock import Clock
    from jobs.reporting.timeline import Timeline
    from jobs.runs.commit import Outcome
    from jobs.runs.opening import Run

LOG = logging.getLogger("shardlens")


def execute(
    run: Run, outcome: Outcome, lease: Lease, stop: Shutdown, clock: Clock, ray: LocalRay | None = None
) -> tuple[Outcome, Execution]:
    """Predicts the images that ``outcome`` lacks and writes their parts, until none is missing, a stop is requested, or
    the error budget is exceeded. Laps ``start``, ``choose``, ``run`` and ``stop``.

    A stalled pass, for example after a node is lost and not replaced, is restarted on the remaining resources. If a GPU
    decodes an image incorrectly, the CPU takes over decoding, and the shards decoded on the GPU are redone. A pass ends
    early for a faster engine, which does the rest.

    Raises:
        WorkerError: a worker failed permanently. Parts already written are kept.
        IncompleteRunError: a pass ended without progress.
        SilenceError: a pass stalled, and a restart did not help.
    """
    DataContext.get_current()  # imports half a second of modules, while Ray starts
    run = as_switched(run)
    while True:
        num_missing = outcome.coverage.num_missing
        try:
            return _session(run, outcome, lease, stop, clock, ray)
        except DecoderMismatchError as error:
            clock.lap("run")
            run = switch_to_cpu(run, run.collect(before=outcome), error)
            outcome = run.collect(before=outcome)
        except SilenceError as error:
            clock.lap("run")
            outcome = run.collect(before=outcome)
            if outcome.coverage.num_missing == num_missing and not error.is_shrunk:
                raise
            LOG.warning("%s; restarting with the %s images that are missing", error, outcome.coverage.num_missing)


def _session(
    run: Run, outcome: Outcome, lease: Lease, stop: Shutdown, clock: Clock, ray: LocalRay | None
) -> tuple[Outcome, Execution]:
    """Runs `execute` on one connection to Ray."""
    with phase("stopping the cluster"), ExitStack() as session:
        with phase("starting a cluster here" if run.job.cluster.address is None else "joining the cluster"):
            session.enter_context(connect(run.job.cluster, verbose=run.job.verbose, local=ray))
        clock.lap("start")
        with phase("waiting for nodes"):
            resources = await_nodes(run.job.cluster, wants_gpu=wants_gpu(run.job.engine, run.job.model))
            if run.job.cluster.address is not None:
                warn_if_taken(run.job.cluster, wants_gpu=wants_gpu(run.job.engine, run.job.model))
        with workers_errors():
            num_missing = outcome.coverage.num_missing
            with phase("choosing the engine"):
                stages, choice, rivals = prepare_stages(run, resources, num_missing=num_missing, guard=lease.token)
            clock.lap("choose")
            begun = Execution(stages.plan, choice, {}, Pace(0, 0.0), resources.cpus)
            race = EngineRace(rivals, choice, num_missing=num_missing, workers=stages.plan.workers)
            with stop.draining(), race, phase(""):  # progress has its own lines
                outcome, execution = _run_passes(run, outcome, stages, begun, stop, race)
        clock.lap("run")
    clock.lap("stop")
    return outcome, execution


def _run_passes(
    run: Run, outcome: Outcome, stages: Stages, execution: Execution, stop: Shutdown, race: EngineRace
) -> tuple[Outcome, Execution]:
    """Runs passes of the pipeline until nothing is missing. Each is planned for the current resources and the engine
    that leads the ``race``.
    """
    first = outcome.summary
    while (num_missing := outcome.coverage.num_missing) and not stop.is_asked:
        metrics = Metrics.of(run, stages.plan, outcome, done_before=first)
        engine, pace = _run_pass(run, outcome, stages, stop, (metrics, execution.timeline), race)
        outcome, whole = run.collect(before=outcome), execution.pace
        whole = Pace(whole.num_images + pace.num_images, whole.seconds + pace.seconds)
        execution = replace(execution, plan=stages.plan, engine=engine, pace=whole)
        if outcome.coverage.num_missing == num_missing and not (stop.is_asked or race.is_due):
            raise IncompleteRunError(f"{num_missing:,} images got no outcome from any worker")
        if outcome.coverage.num_missing and not stop.is_asked:
            resources = cluster_resources().shared(run.job.cluster.drivers)
            choice = race.switch() if race.is_due else race.choice
            stages = plan_again(stages, run, resources, choice, num_missing=outcome.coverage.num_missing)
            execution = replace(execution, cpus=resources.cpus)
    return outcome, replace(execution, choice=race.result())


# Pieces in one pass of the pipeline: bounds the per-piece state that Ray Data keeps on the driver.
_MAX_PIECES = 20_000


def _run_pass(
    run: Run, outcome: Outcome, stages: Stages, stop: Shutdown, records: tuple[Metrics, Timeline], race: EngineRace
) -> tuple[dict[str, str], Pace]:
    job, before, stall_s = run.job, outcome.summary, run.job.run.stall_s
    metrics, timeline = records
    watch = StopConditions(job, before, stop, lambda: not stages.plan.fits(cluster_resources()))

    def should_drain(view: View) -> bool:
        timeline.record(before.num_images + view.num_ok + view.num_errors)
        if watch(view):
            race.stop()
            return True
        return race.has_winner(outcome.coverage.num_missing - view.num_ok - view.num_errors)

    following = follow(
        outcome.coverage.num_listed,
        before.num_images,
        stall_s=stall_s,
        should_stop=should_drain,
        metrics=metrics,
        progress_s=job.run.progress_s,
    )
    with following as ledger:
        run_pipeline(stages, outcome.coverage.missing(limit=_MAX_PIECES), ledger)
        return ledger.engine(), ledger.pace()
