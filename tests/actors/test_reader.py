from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from photos import jpeg

from actors.columns import ERROR, FILE, IMAGE_ID, PIXELS, ROW, SHARD
from actors.decode import Decode
from actors.preprocess import Preprocess
from actors.reader import ReadPlan, ShardSource, read_shard
from actors.storage import Storage
from jobs.datasets.images import ImagesDataset
from jobs.inventory import write_inventory


@pytest.fixture
def plan(tmp_path: Path) -> ReadPlan:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.jpg").write_bytes(jpeg(number, width=40, height=30) if number != 4 else b"")
    dataset = ImagesDataset(path=str(folder))
    storage = Storage()
    shards = write_inventory(
        dataset.entries(),
        storage=storage,
        folder=str(tmp_path / "inventory"),
        shard_size=7,
        layout=dataset.layout,
        image_column=None,
    )
    return ReadPlan(shards.without_sizes(), storage, Decode(), Preprocess(resize=16, crop=16), 4)


def test_every_row_comes_once_in_blocks_of_a_batch(plan: ReadPlan) -> None:
    blocks = [list(read_shard(plan, shard)) for shard in range(plan.shards.num_shards)]
    assert [[len(block) for block in shard] for shard in blocks] == [[4, 3], [3]]
    table = pa.concat_tables(block for shard in blocks for block in shard)
    assert sorted(zip(table[SHARD].to_pylist(), table[ROW].to_pylist(), strict=True)) == [
        (row // 7, row % 7) for row in range(10)
    ]
    by_name = dict(zip(table[IMAGE_ID].to_pylist(), table[ERROR].to_pylist(), strict=True))
    assert {Path(name).name: error for name, error in by_name.items() if error} == {"4.jpg": "empty"}
    assert table[PIXELS].type == pa.binary(16 * 16 * 3)
    assert FILE not in table.column_names


def test_a_read_task_is_small_and_carries_no_list(plan: ReadPlan) -> None:
    tasks = ShardSource(plan, 1000).get_read_tasks(1)
    assert len(tasks) == 1000
    assert len(pickle.dumps(tasks[999].read_fn)) < 4000


def test_a_task_reads_its_own_shard(plan: ReadPlan) -> None:
    tasks = ShardSource(plan, 2).get_read_tasks(2)
    assert {row for block in tasks[1]() for row in block[SHARD].to_pylist()} == {1}
