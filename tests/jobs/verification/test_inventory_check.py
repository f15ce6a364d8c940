from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import Place, local_place
from published import INVENTORY, PublishedRun, break_byte

from actors.storage.store import Storage
from jobs.verification import row_sets
from jobs.verification.findings import Findings
from jobs.verification.inventory_check import Inventory, check_inventory
from jobs.verification.output_files import list_output

NAMES = [[f"{shard}-{row}" for row in range(1 + shard % 3)] for shard in range(130)]
FOLDER = "runs/r1/inventory"


def checked(place: Place, run: PublishedRun) -> tuple[Inventory | None, list[str]]:
    run.put(place)
    findings = Findings()
    inventory = check_inventory(list_output(place.root, Storage(place.options)), "r1", findings)
    return inventory, list(findings.lines())


def test_a_whole_inventory(place: Place) -> None:
    run = PublishedRun(names=NAMES, bad=())
    inventory, wrong = checked(place, run)
    assert not wrong
    assert inventory is not None
    assert inventory.digest == run.inventory_digest()
    assert inventory.sizes.tolist() == [len(images) for images in NAMES]
    assert row_sets.count(inventory.spans) == 259
    assert inventory.carried == ["target", "weight"]
    assert [table["image_id"].to_pylist() for table in inventory.tables()] == [
        [name for images in NAMES[first : first + 64] for name in images] for first in (0, 64, 128)
    ]


def test_rows_come_in_the_order_that_is_asked_for(place: Place) -> None:
    inventory, _ = checked(place, PublishedRun(names=NAMES, bad=()))
    assert inventory is not None
    rows = inventory.rows(np.array([[129, 0, 1], [2, 1, 3], [64, 0, 2], [2, 0, 1]]))
    assert rows.column_names == ["image_id", "uri", "target", "weight"]
    assert rows["image_id"].to_pylist() == ["129-0", "2-1", "2-2", "64-0", "64-1", "2-0"]
    assert rows["uri"][0].as_py() == "/data/129-0.jpg"
    assert inventory.rows(row_sets.NOTHING).schema == rows.schema
    assert inventory.holds(np.array([[2, 0, 3]]))
    assert not inventory.holds(np.array([[2, 0, 4]]))
    assert not inventory.holds(np.array([[130, 0, 1]]))


def rewritten(change: Callable[[pa.Table], pa.Table], number: int = 1, schema: pa.Schema = INVENTORY) -> object:
    def damage(run: PublishedRun) -> None:
        name = f"{FOLDER}/inventory-{number:05d}.parquet"
        sink = pa.BufferOutputStream()
        with pq.ParquetFile(pa.BufferReader(run.files[name])) as file, pq.ParquetWriter(sink, schema) as writer:
            for group in range(file.num_row_groups):
                writer.write_table(change(file.read_row_group(group)).cast(schema))
        run.files[name] = sink.getvalue().to_pybytes()

    return damage


def set_rows(column: str, values: Callable[[pa.Table], object]) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        index = table.column_names.index(column)
        return table.set_column(index, column, pa.array(values(table), pa.int32()))

    return change


def without(field: str) -> pa.Schema:
    return pa.schema([own.with_nullable(True) if own.name == field else own for own in INVENTORY])


def drop(name: str) -> Callable[[PublishedRun], object]:
    return lambda run: run.files.pop(f"{FOLDER}/{name}")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (drop("inventory-00001.parquet"), "inventory-00001.parquet: missing"),
        (drop("inventory-00002.parquet"), "shardlens.num_shards is missing, but the files hold 128 shards"),
        (rewritten(lambda table: table, 2), "shardlens.num_shards is missing, but the files hold 130 shards"),
        (rewritten(set_rows("_shard", lambda t: [3] * len(t))), "row group 0: column _shard is not 64"),
        (rewritten(set_rows("_row", lambda t: [1] * len(t))), "shard 64: column _row does not count from 0"),
        (rewritten(lambda t: t, schema=without("image_id")), "column image_id is not string without nulls"),
        (
            rewritten(lambda t: t.drop_columns(["weight"]), schema=INVENTORY.remove(9)),
            "its columns differ from those of",
        ),
        (lambda run: run.files.update({f"{FOLDER}/inventory-00000.parquet": b"PAR1"}), "00000.parquet: cannot be read"),
        (lambda run: run.files.update({f"{FOLDER}/.inventory-00000.parquet.x.tmp": b""}), "stranger file: runs/r1"),
        (lambda run: run.files.update({f"{FOLDER}/inventory-00009.parquet": b""}), "inventory-00003.parquet: missing"),
    ],
)
def test_damage_is_named(damage: Callable[[PublishedRun], object], said: str, tmp_path: Path) -> None:
    run = PublishedRun(names=NAMES, bad=())
    damage(run)
    _, wrong = checked(local_place(tmp_path), run)
    assert any(said in line for line in wrong), wrong


def test_a_file_in_the_middle_that_is_short(tmp_path: Path) -> None:
    run = PublishedRun(names=NAMES, bad=())
    short = PublishedRun(names=NAMES[:63], bad=(), cut=())
    run.files[f"{FOLDER}/inventory-00000.parquet"] = short.files[f"{FOLDER}/inventory-00000.parquet"]
    _, wrong = checked(local_place(tmp_path), run)
    assert f"wrong inventory: {FOLDER}/inventory-00000.parquet: 63 shards instead of 64" in wrong


def test_any_bit_of_the_inventory(tmp_path: Path) -> None:
    """Whatever the damage, the inventory is unreadable or has another digest, and nothing is raised."""
    name = f"{FOLDER}/inventory-00000.parquet"
    for place in range(0, len(PublishedRun().files[name]), 331):
        run = PublishedRun()
        digest = run.inventory_digest()
        run.files[name] = break_byte(run.files[name], place)
        inventory, wrong = checked(local_place(tmp_path / str(place)), run)
        assert wrong or (inventory is not None and inventory.digest == run.inventory_digest() != digest)
