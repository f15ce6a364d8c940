"""What the pipeline is told: the plan for the cluster, and the engine that is best for it. Runs on the driver, with
Ray started.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.decode import DecodeDevice
from actors.reader import ReadPlan
from actors.retries import Retry
from actors.sink import SinkPlan
from jobs.decoding import decode_device
from jobs.gate import choose_engine
from jobs.pipeline import Recipe, Stages
from jobs.planner import Load, make_plan

if TYPE_CHECKING:
    from actors.sink import Mark
    from jobs.choices import Choice
    from jobs.cluster import Resources
    from jobs.runs import Run

LOG = logging.getLogger("shardlens")


def prepare_stages(
    run: Run, resources: Resources, *, num_missing: int, mark: Mark | None = None
) -> tuple[Stages, Choice]:
    """The stages of ``run`` for the ``num_missing`` images that are to be done on ``resources``.

    Raises:
        JobError: the job asks for what the cluster does not have, or its engine does not give the right answers.
    """
    job = run.job
    load = Load(num_missing, run.checked.image_s)
    plan = make_plan(job, resources, run.checked.fields, load)
    read = ReadPlan(
        shards=run.shards.without_sizes(),
        storage=job.dataset.storage.with_retry(Retry(job.errors.read_attempts)),
        limits=job.decode,
        preprocess=job.model.preprocess,
        batch_size=plan.batch_size,
        batches_a_block=plan.batches_a_block,
    )
    choice = choose_engine(run, plan, read, num_missing=num_missing)
    LOG.info("engine %s: %s", choice.engine.label, choice.why)
    if choice.calibration:
        device = decode_device(job.decode.device, plan, choice, cpus=resources.cpus)
        job = replace(job, decode=replace(job.decode, device=device))
        plan = make_plan(job, resources, run.checked.fields, replace(load, calibration=choice.calibration))
        read = replace(read, batch_size=plan.batch_size, batches_a_block=plan.batches_a_block, limits=job.decode)
        choice = replace(choice, engine=replace(choice.engine, threads=job.engine.threads or plan.threads))
    LOG.info("%s", plan)
    provenance = run.checked.provenance | {"engine": choice.engine.label, "decode": _decode_device(read)}
    sink = SinkPlan(run.paths, run.storage, provenance, plan.rows_per_part, mark)
    return Stages(read, Recipe(job.model, choice.engine, job.task), sink, plan), choice


def _decode_device(read: ReadPlan) -> str:
    return "gpu" if read.limits.device is DecodeDevice.gpu else "cpu"
