"""The chain on a real cluster, in this process: every missing row comes out once, whatever dies in the meantime."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import deadly
import flaky
import pyarrow.parquet as pq
import pytest
from photos import jpeg
from ray import cloudpickle
from s3 import S3

from actors.decoding.config import Decode
from actors.engines.configs import TorchEngineConfig
from actors.errors import CredentialsError
from actors.models.spec import Model
from actors.reading.reader import ReadPlan
from actors.reading.shards import Shards
from actors.recipe import Recipe
from actors.row_ranges import Piece, count
from actors.sample.train import FOLDER, PREPROCESS
from actors.storage.retries import Retry
from actors.storage.store import Storage
from actors.tasks.classify import Classify
from actors.tracking.ledger import View
from actors.writing.part_writer import SinkPlan
from actors.writing.run_paths import RunPaths
from jobs.dataflow.pipeline import run_pipeline
from jobs.dataflow.progress import follow
from jobs.dataflow.stages import Stages
from jobs.dataflow.worker_errors import workers_errors
from jobs.datasets.images import ImagesDataset
from jobs.datasets.manifest import ManifestDataset
from jobs.planning.planner import Plan
from jobs.runs.commit import Outcome, collect
from jobs.runs.inventory import write_inventory

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]

STORAGE = Storage()


@dataclass
class Opened:
    """An inventory and the paths of its rows."""

    shards: Shards
    paths: RunPaths

    @property
    def missing(self) -> list[Piece]:
        return [Piece(shard, ((0, int(size)),)) for shard, size in enumerate(self.shards.sizes)]

    def collect(self) -> Outcome:
        return collect(self.paths, STORAGE, self.shards.sizes)

    def errors(self) -> dict[str, tuple[str, str]]:
        """Returns the stage and kind of every error, by image name."""
        rows = pq.read_table(self.paths.errors).to_pylist()
        return {Path(row["uri"]).name: (row["stage"], row["error"]) for row in rows}


def opened(folder: Path, names: list[str], *, shard_size: int) -> Opened:
    (folder / "images").mkdir()
    for number, name in enumerate(names):
        (folder / "images" / name).write_bytes(jpeg(number, width=40, height=30) if name != "empty.jpg" else b"")
    (folder / "list.csv").write_text("\n".join(["uri", *(f"images/{name}" for name in names)]))
    dataset = ManifestDataset(path=str(folder / "list.csv"))
    paths = RunPaths(str(folder / "out"), "mtest", "r1")
    entries, layout = dataset.entries(), dataset.layout
    shards = write_inventory(
        entries, storage=STORAGE, folder=paths.inventory, shard_size=shard_size, layout=layout, image_column=None
    )
    return Opened(shards, paths)


FUSED = Plan(
    is_fused=True, workers=1, worker_cpus=0.4, worker_gpus=0, read_cpus=0.5, writers=2, batch_size=6, piece_rows=12,
    rows_per_part=40, block_bytes=6 * 32 * 32 * 3, threads=1,
)  # fmt: skip
APART = replace(FUSED, is_fused=False)


def predict(
    job: Opened,
    missing: list[Piece],
    *,
    plan: Plan = FUSED,
    storage: Storage = STORAGE,
    stall_s: float | None = None,
    should_stop: Callable[[View], bool] = lambda _: False,
) -> View:
    recipe = Recipe(
        Model("actors.sample.network:Net", checkpoint=str(FOLDER / "digits.safetensors"), preprocess=PREPROCESS),
        TorchEngineConfig(),
        Classify(),
    )
    with follow(job.shards.num_rows, stall_s=stall_s, should_stop=should_stop) as ledger:
        read = ReadPlan(job.shards.without_sizes(), storage, Decode(), PREPROCESS, plan.batch_size)
        sink = SinkPlan(job.paths, STORAGE, {}, plan.rows_per_part)
        run_pipeline(Stages(read, recipe, sink, plan), missing, ledger)
        assert ledger.engine()["engine"] == "torch"
        return ledger.snapshot(None, timeout_s=10)


@pytest.mark.parametrize("plan", [replace(FUSED, workers=2), APART])
def test_every_row_comes_out_once(plan: Plan, tmp_path: Path) -> None:
    job = opened(tmp_path, ["empty.jpg", *(f"{number}.jpg" for number in range(100))], shard_size=16)
    assert predict(job, job.missing, plan=plan)[:2] == (100, 1)
    outcome = job.collect()
    assert (outcome.summary.num_ok, outcome.summary.num_errors) == (100, 1)
    sizes = [count(part.receipt.ranges) for part in outcome.rows]
    assert len(sizes) <= 3, json.dumps(sizes)  # whatever the blocks, parts have 40 rows or more


@pytest.mark.parametrize("plan", [FUSED, APART])
def test_refused_credentials_end_the_run_without_an_error_row(plan: Plan, s3: S3, tmp_path: Path) -> None:
    root = s3.put(f"{tmp_path.name}/0.jpg", jpeg(0, width=40, height=30)).removesuffix("/0.jpg")
    paths = RunPaths(str(tmp_path / "out"), "mtest", "r1")
    dataset = ImagesDataset(path=root, storage_options=s3.options)
    shards = write_inventory(
        dataset.entries(), storage=STORAGE, folder=paths.inventory, shard_size=8, layout=dataset.layout,
        image_column=None,
    )  # fmt: skip
    job = Opened(shards, paths)
    with flaky.serve(s3.url) as proxy:
        proxy.damage("GET", *[flaky.EXPIRED] * 1000)
        storage = Storage(proxy.options(s3), Retry(first_wait_s=0.001))
        with pytest.raises(CredentialsError, match="ExpiredToken"), workers_errors():
            predict(job, job.missing, plan=plan, storage=storage)
    assert job.collect().coverage.num_missing == 1


def test_only_what_is_missing_is_done(tmp_path: Path) -> None:
    job = opened(tmp_path, [f"{number}.jpg" for number in range(40)], shard_size=16)
    predict(job, [Piece(0, ((2, 5), (14, 16))), Piece(2, ((0, 8),))])
    [part] = job.collect().rows
    assert part.receipt.ranges == {0: [(2, 5), (14, 16)], 2: [(0, 8)]}


DEADLY = {3: "read=kill", 20: "decode=kill", 37: "decode=hold"}
KINDS = {"kill": "killed_worker", "hold": "stalled"}


@pytest.mark.parametrize(("plan", "names"), [(FUSED, {20: "decode=kill"}), (APART, DEADLY)])  # a death takes seconds
def test_images_that_kill_or_hold_up_who_reads_them_are_quarantined_and_all_others_predicted(
    plan: Plan, names: dict[int, str], tmp_path: Path
) -> None:
    cloudpickle.register_pickle_by_value(deadly)  # the workers cannot import from the folder of fixtures
    job = opened(tmp_path, [f"{number} {names.get(number, '')}.jpg" for number in range(48)], shard_size=16)
    predict(job, job.missing, plan=plan, storage=deadly.DeadlyStorage(), stall_s=5)
    assert job.collect().summary.num_ok == 48 - len(names)
    assert job.errors() == {
        f"{number} {name}.jpg": (stage, KINDS[strike])
        for number, name in names.items()
        for stage, _, strike in [name.partition("=")]
    }


@pytest.mark.parametrize("plan", [FUSED, APART])
def test_told_to_stop_it_finishes_what_is_in_flight_and_drops_what_waits(plan: Plan, tmp_path: Path) -> None:
    job = opened(tmp_path, [f"{number}.jpg" for number in range(40)], shard_size=4)
    pieces = job.missing * 100  # far more than can start in time
    small = replace(plan, rows_per_part=8)  # a part with a duplicate row does not count
    num_ok, num_errors, *_ = predict(job, pieces, plan=small, should_stop=lambda view: view.num_ok > 0)
    assert 0 < num_ok < 1000
    assert num_errors == 0
    assert 0 < job.collect().summary.num_ok <= 40
