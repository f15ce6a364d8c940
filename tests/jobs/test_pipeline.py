"""The chain on a real cluster, in this process: every row of the inventory comes out once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from photos import write_photos

from actors.decode import Decode
from actors.engines.base import TorchEngineConfig
from actors.models import Model
from actors.reader import ReadPlan
from actors.run_paths import RunPaths
from actors.sample.train import FOLDER, PREPROCESS
from actors.sink import SinkPlan
from actors.storage import Storage
from actors.tasks.classify import Classify
from jobs.commit import collect
from jobs.datasets.images import ImagesDataset
from jobs.inventory import write_inventory
from jobs.pipeline import Recipe, run_pipeline
from jobs.planner import Plan
from jobs.progress import show_progress

NUM_IMAGES = 100
STORAGE = Storage()


@pytest.mark.cluster
@pytest.mark.parametrize("workers", [1, 2])
def test_every_row_comes_out_once(workers: int, cluster: str, tmp_path: Path) -> None:
    import ray  # noqa: PLC0415  the guard of the unit tests

    assert cluster
    write_photos(tmp_path / "images", NUM_IMAGES, width=40, height=30)
    (tmp_path / "images" / "bad.jpg").write_bytes(b"")
    dataset = ImagesDataset(path=str(tmp_path / "images"))
    paths = RunPaths(str(tmp_path / "out"), "mtest", "r1")
    shards = write_inventory(
        dataset.entries(),
        storage=STORAGE,
        folder=paths.inventory,
        shard_size=16,
        layout=dataset.layout,
        image_column=None,
    )
    plan = Plan(workers, 0.4, 0, 0.5, batch_size=6, rows_per_part=40, block_bytes=6 * 32 * 32 * 3, threads=1)
    recipe = Recipe(
        Model("actors.sample.network:Net", checkpoint=str(FOLDER / "digits.safetensors"), preprocess=PREPROCESS),
        TorchEngineConfig(),
        Classify(),
    )
    with show_progress(shards.num_rows) as tally:
        run_pipeline(
            ReadPlan(shards.without_sizes(), STORAGE, Decode(), PREPROCESS, plan.batch_size),
            recipe,
            SinkPlan(paths, STORAGE, {}, plan.rows_per_part),
            num_shards=shards.num_shards,
            plan=plan,
            tally=tally,
        )
        assert tuple(ray.get(tally.counts.remote())) == (NUM_IMAGES, 1)
        assert ray.get(tally.engine.remote())["engine"] == "torch"
    outcome = collect(paths, STORAGE, shards.sizes.tolist())
    assert (outcome.summary.num_ok, outcome.summary.num_errors) == (NUM_IMAGES, 1)
    sizes = [sum(stop - start for runs in part.receipt.ok.values() for start, stop in runs) for part in outcome.rows]
    assert len(sizes) <= 3, json.dumps(sizes)  # whatever the blocks were, parts hold 40 rows or more
