"""Passes on a real cluster with separate read tasks; tests/end_to_end covers actors that read by themselves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from finished import add_photos, job_over, opened

from actors.columns import DECODE_S, PREDICT_S, READ_BYTES
from actors.decoding.config import Decode
from actors.engines.configs import TorchEngineConfig
from actors.models.spec import Model
from actors.reading.reader import ReadPlan
from actors.recipe import Recipe
from actors.sample.train import FOLDER, PREPROCESS
from actors.storage.store import Storage
from actors.tasks.classify import Classify
from actors.writing.part_writer import SinkPlan
from jobs.benchmarking.variants import Variant, Variants, readers
from jobs.cli.shutdown import Shutdown
from jobs.cluster.resources import Resources
from jobs.dataflow.stages import Stages
from jobs.planning.planner import Plan
from jobs.runs.commit import collect
from jobs.runs.opening import Run

APART = Plan(
    is_fused=False, workers=1, worker_cpus=0.4, worker_gpus=0, read_cpus=0.5, writers=2, batch_size=4, piece_rows=8,
    rows_per_part=10, block_bytes=4 * 32 * 32 * 3, threads=1,
)  # fmt: skip
NUM_IMAGES = 24


@pytest.fixture
def run(tmp_path: Path) -> Run:
    add_photos(tmp_path / "images", range(NUM_IMAGES - 1))
    (tmp_path / "images" / "bad.jpg").write_bytes(b"not an image")
    model = Model("actors.sample.network:Net", checkpoint=str(FOLDER / "digits.safetensors"), preprocess=PREPROCESS)
    return opened(replace(job_over(tmp_path / "images", tmp_path / "out"), model=model), shard_size=12)


@pytest.fixture
def stop() -> Iterator[Shutdown]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    stop = Shutdown(30)
    stop.install()
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def variants(run: Run, stop: Shutdown) -> Variants:
    return variants_of(run, stop, APART)


def variants_of(run: Run, stop: Shutdown, plan: Plan) -> Variants:
    read = ReadPlan(run.shards.without_sizes(), Storage(), Decode(), PREPROCESS, APART.batch_size)
    recipe = Recipe(run.job.model, TorchEngineConfig(threads=1), Classify())
    sink = SinkPlan(run.paths, run.storage, {}, APART.rows_per_part)
    return Variants(run, Stages(read, recipe, sink, plan), Resources(2.0, 0.0), stop)


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("measured", "summed"),
    [
        (Variants.reading, {READ_BYTES}),
        (Variants.transfer, set()),
        (Variants.without_model, {READ_BYTES, DECODE_S}),
        (Variants.whole, {READ_BYTES, DECODE_S, PREDICT_S}),
    ],
)
def test_every_image_goes_through_the_stages_that_are_on(
    measured: Callable[[Variants], Variant], summed: set[str], variants: Variants, run: Run
) -> None:
    variant = measured(variants)
    assert variant.meter.num_images == NUM_IMAGES
    assert summed <= set(variant.meter.totals)
    assert ({READ_BYTES, DECODE_S, PREDICT_S} - summed).isdisjoint(variant.meter.totals)
    assert variant.meter.num_errors == (DECODE_S in summed)
    assert variant.to_json()["images_per_s"] == NUM_IMAGES / variant.elapsed_s
    written = collect(run.paths, run.storage, run.shards.sizes)
    assert written.coverage.num_rows == (NUM_IMAGES if PREDICT_S in summed else 0)


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_actors_that_read_send_rows_of_every_block(run: Run, stop: Shutdown) -> None:
    variant = variants_of(run, stop, replace(APART, is_fused=True)).transfer()
    assert [end.num_images for end in variant.meter.ends] == [4] * (NUM_IMAGES // 4)
    assert sum(end.num_images for end in variant.meter.arrivals) == NUM_IMAGES
    assert not collect(run.paths, run.storage, run.shards.sizes).coverage.num_rows


def test_actors_replace_separate_read_tasks() -> None:
    fused = replace(APART, is_fused=True)
    assert readers(fused, Resources(2.0, 0.0)) is fused
    apart = replace(APART, workers=2, worker_gpus=1, worker_cpus=1.0, read_cpus=1.0)
    alone = readers(apart, Resources(16.0, 2.0))
    assert (alone.is_fused, alone.workers, alone.worker_cpus, alone.worker_gpus) == (True, 14, 1.0, 0)
    assert readers(apart, Resources(2.0, 2.0)).workers == 1
