"""Measures an open run for a benchmark. Runs on the driver; imports Ray."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from actors.columns import DECODE_S, PREDICT_S, READ_BYTES
from actors.reading.fetcher import Fetcher
from actors.trials.step_times import time_steps
from actors.trials.throughput import steady_images_per_s
from jobs.benchmarking.baseline import measure_limit
from jobs.benchmarking.figures import Figures
from jobs.benchmarking.variants import Variants
from jobs.benchmarking.write_speed import writing_images_per_s
from jobs.cluster.connection import connect
from jobs.dataflow.stages import prepare_stages
from jobs.dataflow.worker_errors import workers_errors
from jobs.planning.trial_runner import TrialRunner
from jobs.runs.commit import collect
from jobs.runs.coverage import Coverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.row_ranges import Piece
    from actors.trials.step_times import StepTimes
    from jobs.benchmarking.figures import Rates
    from jobs.benchmarking.variants import Variant
    from jobs.cli.shutdown import Shutdown
    from jobs.cluster.resources import Resources
    from jobs.dataflow.stages import Stages
    from jobs.runs.opening import Run


def measure(run: Run, stop: Shutdown, *, listing_s: float) -> Figures:
    """Measures the job of ``run``, whose listing took ``listing_s`` seconds.

    The limit is measured last: by then, a Ray started by this command has stopped, and one that it joined is idle.

    Raises:
        JobError: the job cannot be run.
        LimitError: a process of the plain loop died.
    """
    with connect(run.job.cluster, verbose=run.job.verbose) as resources, workers_errors():
        stages, _, _ = prepare_stages(run, resources, num_missing=run.shards.num_rows)
        measured = _measure_pipeline(run, stages, resources, stop)
        machine = _machine(run, stages, resources)
    pieces = stages.plan.cut(Coverage(run.shards.sizes).missing())
    with tempfile.TemporaryDirectory() as folder:
        loops, decoding = measure_limit(stages, pieces, Path(folder))
    # An idle Ray still uses some CPU, which lowers the limit.
    steps = _steps(stages, pieces)
    beside_ray = run.job.cluster.address is not None or ray.is_initialized()
    return Figures(
        num_images=run.shards.num_rows,
        num_errors=measured.num_errors,
        mean_image_bytes=measured.mean_image_bytes,
        plan=asdict(stages.plan),
        engine=stages.recipe.engine.label,
        stages={"listing": run.shards.num_rows / listing_s, **measured.stages},
        variants=measured.variants,
        limit={**loops.to_json(), "decoding": decoding.to_json(), "beside_ray": beside_ray},
        machine=machine,
        steps=steps.to_json() if steps else None,
    )


def _steps(stages: Stages, pieces: Sequence[Piece]) -> StepTimes | None:
    """Times the steps of a batch in this process, on the first images."""
    read = stages.read
    images: list[bytes] = []
    fetcher = Fetcher(read.shards, read.storage, max_bytes=read.limits.max_bytes, concurrency=read.concurrency)
    for piece in pieces:
        if len(images) < read.batch_size:
            for _, batch in fetcher.batches(read.shards.load_piece(piece), read.batch_size):
                images += [image for image in batch if isinstance(image, bytes)]
    return time_steps(stages.recipe, images[: read.batch_size], read.batch_size)


@dataclass(frozen=True)
class _Measured:
    """Figures that need the connection to Ray, named as in `Figures`, whose stages also have the listing."""

    stages: Rates
    variants: dict[str, dict[str, Any]]
    num_errors: int
    mean_image_bytes: float


def _measure_pipeline(run: Run, stages: Stages, resources: Resources, stop: Shutdown) -> _Measured:
    """Measures all variants. Reading comes first, so that the others and the limit find files in the page cache."""
    variants = Variants(run, stages, resources, stop)
    reading, without_model, transfer = variants.reading(), variants.without_model(), variants.transfer()
    without_writing, whole = variants.without_writing(), variants.whole()
    parts = collect(run.paths, run.storage, run.shards.sizes).rows
    # Another run, so that rewritten files are never mistaken for parts of this one.
    again = replace(stages.sink, paths=replace(run.paths, run_id=f"{run.paths.run_id}-again"))
    rates = {
        "reading": reading.steady_images_per_s,
        "decoding": _images_per_s_in(DECODE_S, without_model, variants.readers.workers),
        "transfer": _transfer_images_per_s(transfer, stages),
        # A pass of the model alone agrees: 77.9 by these seconds and 77.6 images/s in the pass, four times in turn
        # (1,000 photographs, ResNet-18). For the sample's network, in batches of 32, the pass gave a quarter: it
        # included the time of the ledger and Ray for each block, which `whole` also shows.
        "model": _images_per_s_in(PREDICT_S, whole, stages.plan.workers),
        "writing": writing_images_per_s(again, parts, writers=stages.plan.writers),
    }
    shown = {"without_model": without_model, "without_writing": without_writing, "whole": whole}
    return _Measured(
        stages=rates,
        variants={name: variant.to_json() for name, variant in shown.items()},
        num_errors=whole.meter.num_errors,
        mean_image_bytes=reading.meter.totals[READ_BYTES] / max(1, reading.meter.num_images),
    )


def _images_per_s_in(stage_s: str, variant: Variant, workers: int) -> float | None:
    """Computes the rate of ``workers`` that spend all their time in one stage, from its seconds column. Excludes time
    in which workers wait for input, or for a consumer of their output.
    """
    seconds = variant.meter.totals[stage_s]
    num_ok = variant.meter.num_images - variant.meter.num_errors  # the model never sees most of the others
    return workers * num_ok / seconds if seconds else None


def _transfer_images_per_s(transfer: Variant, stages: Stages) -> float | None:
    """Computes the rate on the receiving side: writers if the actors read by themselves, else actors."""
    if stages.plan.is_fused:
        return steady_images_per_s(transfer.meter.arrivals, fewest=_FEWEST_ARRIVALS)
    return transfer.steady_images_per_s


_FEWEST_ARRIVALS = 3  # after the first one; writers receive whole parts, four for 2,000 images


def _machine(run: Run, stages: Stages, resources: Resources) -> dict[str, Any]:
    """Describes hardware and libraries of the workers, with tuples as lists, so that it equals its JSON form."""
    # Queried on a worker: the driver's machine may differ, and lack a GPU.
    hardware = asdict(TrialRunner(run, stages.plan, stages.read).hardware())
    libraries = {f"version_{name}": version for name, version in hardware.pop("libraries")}
    known = {name: version for name, version in run.checked.provenance.items() if name.startswith("version_")}
    nodes = sum(bool(node["Alive"]) for node in ray.nodes())  # type: ignore[no-untyped-call]
    size = {"cpus": resources.cpus, "gpus": resources.gpus, "nodes": nodes}
    found: dict[str, Any] = json.loads(json.dumps({**hardware, **size, **libraries, **known}))
    return found
