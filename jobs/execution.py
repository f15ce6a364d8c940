"""An opened run on a cluster, from the start of Ray to the last part. Runs on the driver; its import brings Ray in."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from actors.reader import ReadPlan
from actors.sink import SinkPlan
from actors.storage import Storage
from jobs.cluster import connect
from jobs.command import catch_signals
from jobs.pipeline import Recipe, run_pipeline
from jobs.planner import Plan, make_plan
from jobs.progress import show_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.run_paths import RunPaths
    from actors.shards import Shards
    from jobs.config import Job
    from jobs.preflight import Preflight
    from jobs.report import Clock

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Execution:
    """What was run."""

    plan: Plan
    engine: Mapping[str, str]
    """What executed the model, as the actors said."""


def execute(job: Job, checked: Preflight, paths: RunPaths, shards: Shards, clock: Clock) -> Execution:
    """Predicts every image of the inventory and writes the parts; laps ``start``, ``run`` and ``stop``."""
    with connect(job.cluster, verbose=job.verbose) as resources:
        catch_signals()  # Ray has put its own handler in place of ours
        plan = make_plan(job, resources, checked.fields)
        clock.lap("start")
        LOG.info("%s", plan)
        with show_progress(shards.num_rows) as tally:
            run_pipeline(
                _read_plan(job, shards, plan),
                Recipe(job.model, job.engine, job.task),
                SinkPlan(paths, Storage(job.output.storage_options), checked.provenance, plan.rows_per_part),
                num_shards=shards.num_shards,
                plan=plan,
                tally=tally,
            )
            engine: dict[str, str] = ray.get(tally.engine.remote())
        clock.lap("run")
    clock.lap("stop")
    return Execution(plan, engine)


def _read_plan(job: Job, shards: Shards, plan: Plan) -> ReadPlan:
    return ReadPlan(
        shards=shards.without_sizes(),
        storage=Storage(job.dataset.storage_options),
        limits=job.decode,
        preprocess=job.model.preprocess,
        batch_size=plan.batch_size,
    )
