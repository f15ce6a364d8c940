"""A dry run: the plan of a job with its estimated time and price. Starts no workers and writes nothing to the output.
Runs on the driver.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actors.engines.candidates import candidates, is_reference, reference
from actors.engines.configs import AutoEngineConfig
from actors.engines.hardware import hardware
from actors.storage.store import Storage
from actors.storage.uris import absolute, redacted
from actors.trials.comparison import Trial
from actors.writing.run_paths import RunPaths
from jobs.cli.phases import phase
from jobs.cli.shutdown import Shutdown
from jobs.cli.terminal import show, show_pairs
from jobs.cluster.ray_start import prepare
from jobs.cluster.resources import Resources, cluster_resources, num_gpus_here
from jobs.planning.engine_cache import Choice, KeptChoice, choice_key
from jobs.planning.planner import Load, make_plan, usual_inputs
from jobs.planning.trial_worth import WORTH_S, is_tried, may_run_reference
from jobs.runs.bundle_choice import with_form
from jobs.runs.preflight import preflight
from jobs.runs.preview import preview_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.cluster.config import Cluster
    from jobs.job import Job
    from jobs.planning.planner import Plan
    from jobs.runs.preflight import Preflight
    from jobs.runs.preview import Preview


@dataclass(frozen=True)
class Forecast:
    """The plan of a job, from the information available before it starts."""

    plan: Plan
    choice: Choice
    """The engine found by earlier runs, or the one that the job starts with."""
    rivals: list[str]
    """Engines that the job will try first."""
    work_s: float
    """Working seconds, without start-up."""

    def lines(self, job: Job) -> Iterator[tuple[str, str]]:
        """Names and values for a table."""
        yield "engine", f"{self.choice.engine.label}: {self.choice.why}"
        if self.rivals:
            yield "", f"before it starts, or while it runs, the job tries {', '.join(self.rivals)}"
        yield "plan", str(self.plan)
        most = "at most " if self.rivals else ""
        yield "time", f"{most}about {_duration(self.work_s)} of work, and {_START} to start"
        if job.cluster.price_per_hour is not None:
            price = job.cluster.price_per_hour * self.work_s / 3600
            amount = f"about {price:,.2f}" if price >= _LEAST else f"less than {_LEAST}"
            yield "price", f"{most}{amount}, at {job.cluster.price_per_hour:,.2f} an hour, without the start"


_LEAST = 0.01
# Measured on two threads of an AMD EPYC, with and without the node's cache.
_START = "5 to 40 s"


def show_forecast(job: Job) -> None:
    """Prints the plan of ``job``; the last line on standard output is the output path.

    Raises:
        JobError: the job is wrong, or the cluster lacks what it asks for.
        StoppedError: stopped.
    """
    Shutdown(grace_s=0).install()
    storage, root = Storage(job.output.storage_options), absolute(job.output.path)
    with phase("checking the model"):
        job = with_form(job)
        checked = preflight(job)
    with phase("listing the images"):
        preview = preview_run(job, checked, storage)
    lines = [("status", "planned: nothing was started"), ("images", _images(preview))]
    if preview.num_missing:
        with phase("planning"):
            resources = resources_for(job.cluster, verbose=job.verbose)
            kept = RunPaths(root, checked.fingerprint, "")
            lines += forecast(job, checked, preview.num_missing, resources, (kept, storage)).lines(job)
    show_pairs([*lines, ("model", checked.fingerprint)], width=11)
    show(redacted(root))


def resources_for(cluster: Cluster, *, verbose: bool) -> Resources:
    """Returns the resources of this machine or of the cluster to join, without starting anything there."""
    if cluster.address is None:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return Resources(cpus=float(cpus), gpus=float(num_gpus_here())).shared(cluster.drivers)
    prepare(cluster, verbose=verbose)
    from jobs.cluster.connection import connect  # noqa: PLC0415  imports Ray

    with connect(cluster, verbose=verbose):
        return cluster_resources().shared(cluster.drivers)


def forecast(
    job: Job, checked: Preflight, num_missing: int, resources: Resources, kept_at: tuple[RunPaths, Storage]
) -> Forecast:
    """Plans ``num_missing`` images as `jobs.dataflow.stages` does, with the cached engine, or the reference.

    Raises:
        JobError: the resources do not suffice.
    """
    inputs = usual_inputs(job)
    plan = make_plan(job, resources, checked.fields, Load(num_missing, checked.image_s * inputs))
    choice, rivals = _engine(job, checked, num_missing * inputs / plan.workers, plan, kept_at)
    load = Load(num_missing, (choice.image_s or checked.image_s) * inputs, choice.calibration)
    plan = make_plan(job, resources, checked.fields, load)
    return Forecast(plan, choice, rivals, num_missing * load.whole_image_s / plan.workers)


def _engine(
    job: Job, checked: Preflight, num_images: float, plan: Plan, kept_at: tuple[RunPaths, Storage]
) -> tuple[Choice, list[str]]:
    """Returns the engine for ``num_images`` per worker, and the labels of engines worth a trial."""
    config = replace(job.engine, threads=job.engine.threads or plan.threads)
    right = reference(config, job.model)
    is_named = not isinstance(config, AutoEngineConfig)
    if is_named and is_reference(config, job.model):
        return Choice(config, "named"), []
    here = hardware(with_gpu=bool(plan.worker_gpus))
    found = KeptChoice(*kept_at, choice_key(config, plan), here).read() if job.cluster.address is None else None
    if found is not None:
        return found, []
    if is_named:
        return Choice(config, "named; timed with the reference"), []
    may_run_right = may_run_reference(config)
    has_network = checked.network is not None and not plan.worker_gpus and job.cluster.address is None
    first = [Trial(right.label, 1 / checked.image_s)]
    others = candidates(config, job.model, here)
    worth = [one.label for one in others if is_tried(one, config, first, num_images, has_network=has_network)]
    if may_run_right and not worth and num_images * checked.image_s < WORTH_S:
        return Choice(right, "the job is too small to try other engines"), []
    return Choice(right, "the reference, from which others must not differ"), worth


def _images(preview: Preview) -> str:
    if preview.run_id is None:
        return f"{preview.num_missing:,} to do in a new run" if preview.num_missing else "no new image: nothing to do"
    done = f"{preview.num_done:,} of {preview.num_listed:,} done"
    return f"{preview.num_missing:,} to do in run {preview.run_id}, {done}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
