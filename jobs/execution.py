"""An opened run on a cluster, from the start of Ray to the last part. Runs on the driver; its import brings Ray in."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray
from ray.exceptions import RayError, RayTaskError

from actors.errors import JobError
from actors.reader import ReadPlan
from actors.sink import SinkPlan
from actors.storage import Storage
from jobs.cluster import connect
from jobs.command import catch_signals
from jobs.pipeline import Recipe, run_pipeline
from jobs.planner import Plan, make_plan
from jobs.progress import show_progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
        with show_progress(shards.num_rows) as tally, _workers_errors():
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


class WorkerError(Exception):
    """A worker failed for good; the message is that of the worker's own exception."""


@contextmanager
def _workers_errors() -> Iterator[None]:
    """Raises what a worker raised, in place of Ray's many lines around it."""
    try:
        yield
    except RayTaskError as error:
        raise WorkerError(f"{type(error.cause).__name__}: {error.cause}") from error
    except RayError as error:
        raise cause_in(str(error)) from error


def cause_in(text: str) -> Exception:
    """The last exception that the traceback ``text`` tells of: a `JobError`, else a `WorkerError`."""
    found = list(re.finditer(r"^(?:\w+\.)*(\w+): ", text, re.MULTILINE))
    if not found:
        return WorkerError(text.strip())
    said = text[found[-1].end() :].strip()
    if found[-1].group(1) == JobError.__name__ and "\n  cure: " in said:
        problem, _, cure = said.partition("\n  cure: ")
        return JobError(problem, cure=cure.splitlines()[0])
    return WorkerError(f"{found[-1].group(1)}: {said}")


def _read_plan(job: Job, shards: Shards, plan: Plan) -> ReadPlan:
    return ReadPlan(
        shards=shards.without_sizes(),
        storage=Storage(job.dataset.storage_options),
        limits=job.decode,
        preprocess=job.model.preprocess,
        batch_size=plan.batch_size,
    )
