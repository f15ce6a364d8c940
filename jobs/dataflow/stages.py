"""The plan and the settings of each stage of the pipeline. Created on the driver when Ray is up, and sent to
workers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actors.decoding.config import DecodeDevice
from actors.reading.reader import ReadPlan
from actors.storage.retries import Retry
from actors.writing.part_writer import SinkPlan
from jobs.planning.capacity import check_room
from jobs.planning.decode_placement import decode_device
from jobs.planning.engine_selection import choose_engine
from jobs.planning.planner import Load, make_plan, usual_inputs

if TYPE_CHECKING:
    from actors.recipe import Recipe
    from actors.writing.part_writer import WriteGuard
    from jobs.cluster.resources import Resources
    from jobs.planning.engine_cache import Choice
    from jobs.planning.engine_selection import Rivals
    from jobs.planning.planner import Plan
    from jobs.runs.opening import Run


LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Stages:
    """Settings of each stage, independent of its input rows."""

    read: ReadPlan
    recipe: Recipe
    sink: SinkPlan
    plan: Plan


def prepare_stages(
    run: Run, resources: Resources, *, num_missing: int, guard: WriteGuard | None = None
) -> tuple[Stages, Choice, Rivals | None]:
    """Plans ``run`` for its ``num_missing`` images on ``resources``, and chooses the engine. The rivals are those of
    `choose_engine`.

    Raises:
        JobError: the cluster lacks required resources, or the engine fails the comparison with the reference.
    """
    job = run.job
    recipe = replace(job.recipe, one_by_one=run.checked.one_by_one)
    num_inputs = usual_inputs(job)
    plan = make_plan(job, resources, run.checked.fields, Load(num_missing, run.checked.image_s * num_inputs))
    read = ReadPlan(
        shards=run.shards.without_sizes(),
        storage=job.dataset.image_storage.with_retry(
            Retry(job.errors.read_attempts, timeout_s=job.errors.read_timeout_s)
        ),
        limits=recipe.limits,
        preprocess=recipe.model.preprocess,
        batch_size=plan.batch_size,
        batches_a_block=plan.batches_a_block,
        concurrency=job.dataset.read_concurrency,
        tile=job.task.tiling,
    )
    choice, rivals = choose_engine(run, plan, read, num_missing=num_missing * num_inputs)
    LOG.info("engine %s: %s", choice.engine.label, choice.why)
    if run.checked.loaded is not None:
        run.checked.loaded.release()
    if choice.calibration:
        device = decode_device(job.decode.device, plan, choice, cpus=resources.cpus)
        read = replace(read, limits=replace(recipe.limits, device=device))
    provenance = run.checked.provenance | {"decode": _decode_device(read)}
    sink = SinkPlan(
        run.paths,
        run.storage,
        provenance,
        plan.rows_per_part,
        guard,
        counts=job.task.counts,
        rankings=job.task.rankings,
        stall_s=job.run.stall_s,
    )
    recipe = replace(recipe, engine=choice.engine, limits=read.limits, int8_graph=choice.int8_graph)
    stages = Stages(read, recipe, sink, plan)
    return plan_again(stages, run, resources, choice, num_missing=num_missing), choice, rivals


def plan_again(stages: Stages, run: Run, resources: Resources, choice: Choice, *, num_missing: int) -> Stages:
    """Adapts ``stages`` to the measurements in ``choice`` and to the remaining ``num_missing`` images and
    ``resources``. Logs the plan and its estimated time.

    Raises:
        JobError: the resources do not suffice.
    """
    job = replace(run.job, decode=stages.read.limits)
    image_s = (choice.image_s or run.checked.image_s) * usual_inputs(job)
    load = Load(num_missing, image_s, choice.calibration)
    plan = make_plan(job, resources, run.checked.fields, load)
    check_room(plan, resources)
    seconds = f"about {num_missing * load.whole_image_s / plan.workers:,.0f} s for " if plan.is_fused else ""
    LOG.info("engine %s, %s; %s%s images", choice.engine.label, plan, seconds, f"{num_missing:,}")
    engine = replace(choice.engine, threads=run.job.engine.threads or plan.threads)
    return Stages(
        replace(stages.read, batch_size=plan.batch_size, batches_a_block=plan.batches_a_block),
        replace(stages.recipe, engine=engine),
        replace(
            stages.sink,
            rows_per_part=plan.rows_per_part,
            provenance={**stages.sink.provenance, "engine": choice.engine.label},
        ),
        plan,
    )


def _decode_device(read: ReadPlan) -> str:
    return "gpu" if read.limits.device is DecodeDevice.gpu else "cpu"
