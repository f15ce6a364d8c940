from __future__ import annotations

import json
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from blocks import predicted_block

from actors.run_paths import RunPaths
from actors.sink import SinkPlan, write_part
from actors.storage import Storage
from jobs.commit import IncompleteRunError, collect, find_parts, publish

SIZES = [5, 3]
STORAGE = Storage()


@pytest.fixture
def plan(tmp_path: Path) -> SinkPlan:
    return SinkPlan(RunPaths(str(tmp_path), "mtest", "r1"), STORAGE, {}, 100)


def files(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_a_whole_run_is_published(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5), bad=[1]), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    outcome = collect(plan.paths, STORAGE, SIZES)
    publish(outcome, plan.paths, STORAGE, {"run_id": "r1"})
    manifest = json.loads(Path(plan.paths.manifest).read_text())
    assert (manifest["num_listed"], manifest["num_ok"], manifest["num_errors"]) == (8, 7, 1)
    assert {part["file"] for part in manifest["rows"]} == files(plan.paths.rows)
    assert [part["num_rows"] for part in manifest["rows"]] == [4, 3]
    assert manifest["rows"][0]["ranges"] == {"0": [[0, 1], [2, 5]]}
    assert Path(plan.paths.success).exists()


def test_a_stranger_reads_each_row_once(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    write_part(plan, predicted_block(0, range(5)), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    publish(collect(plan.paths, STORAGE, SIZES), plan.paths, STORAGE, {})
    rows = ds.dataset(f"{plan.paths.root}/rows", partitioning="hive").to_table()
    assert sorted(rows["image_id"].to_pylist()) == [f"0/{row}.jpg" for row in range(5)] + [
        f"1/{n}.jpg" for n in range(3)
    ]
    assert set(rows["model"].to_pylist()) == {"mtest"}


@pytest.mark.parametrize("rows", [range(4), range(1, 5), [0, 1, 3, 4]])
def test_a_missing_row_is_named_and_nothing_is_deleted(plan: SinkPlan, rows: list[int]) -> None:
    write_part(plan, predicted_block(0, rows), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    write_part(plan, predicted_block(1, range(3)), number=1)
    with pytest.raises(IncompleteRunError, match=r"1 of 8 images have no outcome \(shard 0: 1 rows\)"):
        collect(plan.paths, STORAGE, SIZES)
    assert len(files(plan.paths.rows)) == 3


@pytest.mark.parametrize(("shard", "rows"), [(1, range(1, 4)), (2, range(1))])
def test_rows_that_were_never_listed(plan: SinkPlan, shard: int, rows: range) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    write_part(plan, predicted_block(shard, rows), number=1)
    if shard == 2:
        write_part(plan, predicted_block(1, range(3)), number=2)
    with pytest.raises(IncompleteRunError, match="never listed"):
        collect(plan.paths, STORAGE, SIZES)


def test_nothing_written_at_all(plan: SinkPlan) -> None:
    with pytest.raises(IncompleteRunError, match="8 of 8"):
        collect(plan.paths, STORAGE, SIZES)
    assert collect(plan.paths, STORAGE, []).summary.num_images == 0


def test_an_attempt_that_died_between_its_two_files_gives_way(plan: SinkPlan) -> None:
    dead = write_part(plan, predicted_block(0, range(5), bad=[2]), number=0)
    Path(plan.paths.rows, f"{dead.attempt}.parquet").unlink()
    whole = write_part(plan, predicted_block(0, range(5), bad=[2]), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    publish(collect(plan.paths, STORAGE, SIZES), plan.paths, STORAGE, {})
    assert files(plan.paths.errors) == {f"{whole.attempt}.parquet"}


def test_half_files_of_a_dead_writer_are_removed_and_strangers_are_left(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    folder = Path(plan.paths.rows)
    half = (folder / min(files(plan.paths.rows))).read_bytes()[:-20]
    (folder / "part-000009-half.parquet").write_bytes(half)
    (folder / ".part-000009-x.parquet.1.tmp").write_bytes(half)
    (folder / "notes.txt").write_text("mine")
    publish(collect(plan.paths, STORAGE, SIZES), plan.paths, STORAGE, {})
    assert len(files(plan.paths.rows)) == 3
    assert "notes.txt" in files(plan.paths.rows)


def test_parts_of_another_run_are_not_seen(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    other = RunPaths(plan.paths.root, "mtest", "r2")
    assert find_parts(other.rows, STORAGE) == []
