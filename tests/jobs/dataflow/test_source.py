"""Read tasks of Ray Data."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from photos import jpeg

from actors.columns import SHARD
from actors.decoding.config import Decode
from actors.preprocess import Preprocess
from actors.reading.reader import ReadPlan
from actors.row_ranges import Piece
from actors.storage.store import Storage
from actors.tracking.ledger import Ledger
from jobs.dataflow.source import ShardSource
from jobs.datasets.manifest import ManifestDataset
from jobs.runs.inventory import write_inventory

WHOLE = [Piece(0, ((0, 7),)), Piece(1, ((0, 3),))]


def plan_over(folder: Path, images: dict[str, bytes], storage: Storage, *, shard_size: int = 7) -> ReadPlan:
    (folder / "images").mkdir()
    for name, data in images.items():
        (folder / "images" / name).write_bytes(data)
    (folder / "list.csv").write_text("\n".join(["uri", *(f"images/{name}" for name in images)]))
    dataset = ManifestDataset(path=str(folder / "list.csv"))  # rows come in the order of its lines
    shards = write_inventory(
        dataset.entries(),
        storage=Storage(),
        folder=str(folder / "inventory"),
        shard_size=shard_size,
        layout=dataset.layout,
        image_column=None,
    )
    return ReadPlan(shards.without_sizes(), storage, Decode(), Preprocess(resize=16, crop=16), 4)


@pytest.fixture
def plan(tmp_path: Path) -> ReadPlan:
    images = {f"{number}.jpg": jpeg(number, width=40, height=30) if number != 4 else b"" for number in range(10)}
    return plan_over(tmp_path, images, Storage())


def test_a_read_task_is_small_and_carries_no_list(plan: ReadPlan) -> None:
    pieces = [Piece(shard, ((0, 7),)) for shard in range(1000)]
    tasks = ShardSource(plan, pieces, Ledger()).get_read_tasks(1)
    assert len(tasks) == 1000
    assert len(pickle.dumps(tasks[999].read_fn)) < 5000


def test_a_task_reads_its_own_piece(plan: ReadPlan) -> None:
    tasks = ShardSource(plan, WHOLE, Ledger()).get_read_tasks(2)
    assert {row for block in tasks[1]() for row in block[SHARD].to_pylist()} == {1}
