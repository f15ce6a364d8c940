from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from places import Place

from actors.columns import ROW, SHARD, URI
from actors.errors import JobError
from actors.reading.shards import SHARDS_PER_FILE, Layout, Shards, inventory_file, inventory_files
from actors.row_ranges import Piece
from actors.storage.store import Storage
from actors.storage.uris import join
from jobs.datasets.kept_columns import entry_schema, entry_table
from jobs.runs.inventory import write_inventory


def write(storage: Storage, folder: str, num_rows: int, *, shard_size: int = 2) -> Shards:
    uris = pa.array([f"images/{number}.jpg" for number in range(num_rows)], pa.string())
    entries = entry_table({URI: uris}, entry_schema(has_target=False))
    return write_inventory(
        iter([entries]), storage=storage, folder=folder, shard_size=shard_size, layout=Layout.FILES, image_column=None
    )


def test_an_inventory_can_be_opened_again(place: Place) -> None:
    storage = Storage(place.options)
    written = write(storage, join(place.root, "inventory"), 2 * SHARDS_PER_FILE + 3)
    opened = Shards.open(storage, join(place.root, "inventory"))
    assert (opened.layout, opened.image_column) == (Layout.FILES, None)
    assert (opened.num_shards, opened.num_rows) == (SHARDS_PER_FILE + 2, 2 * SHARDS_PER_FILE + 3)
    assert opened.schema == written.schema
    np.testing.assert_array_equal(opened.sizes, written.sizes)
    assert opened.sizes.dtype == np.int32


def test_a_shard_is_loaded_from_its_file(place: Place) -> None:
    shards = write(Storage(place.options), join(place.root, "inventory"), 2 * SHARDS_PER_FILE + 3)
    last = shards.load(SHARDS_PER_FILE + 1)
    assert last.schema == shards.schema
    assert last.select([SHARD, ROW, URI]).to_pylist() == [
        {SHARD: SHARDS_PER_FILE + 1, ROW: 0, URI: f"images/{2 * SHARDS_PER_FILE + 2}.jpg"}
    ]
    assert shards.load(1)[URI].to_pylist() == ["images/2.jpg", "images/3.jpg"]


def test_a_piece_is_some_rows_of_a_shard(tmp_path: Path) -> None:
    shards = write(Storage(), str(tmp_path), 10, shard_size=10)
    rows = shards.load_piece(Piece(0, ((1, 3), (7, 8))))
    assert rows[ROW].to_pylist() == [1, 2, 7]


def test_damage_between_the_footers_is_told_with_the_file_and_the_fix(tmp_path: Path) -> None:
    write(Storage(), str(tmp_path), 10, shard_size=10)
    file = Path(inventory_file(str(tmp_path), 0))
    data = bytearray(file.read_bytes())
    data[4:200] = bytes(196)
    file.write_bytes(data)
    shards = Shards.open(Storage(), str(tmp_path))
    with pytest.raises(JobError, match=r"inventory-00000\.parquet: the inventory of this run is damaged: ") as raised:
        shards.load_piece(Piece(0, ((0, 1),)))
    assert "another run.id" in raised.value.fix


def test_the_copy_for_workers_stays_small(tmp_path: Path) -> None:
    folder = str(tmp_path / "inventory")
    copy = write(Storage(), folder, 1000, shard_size=1).without_sizes()
    travelled = pickle.dumps(copy)
    assert len(travelled) < 2000
    assert pickle.loads(travelled).load(999)[URI].to_pylist() == ["images/999.jpg"]  # noqa: S301


def test_no_inventory_and_half_an_inventory(place: Place) -> None:
    storage = Storage(place.options)
    folder = join(place.root, "inventory")
    with pytest.raises(FileNotFoundError, match="no inventory"):
        Shards.open(storage, folder)
    write(storage, folder, 2 * SHARDS_PER_FILE + 1)
    storage.delete([inventory_file(folder, 1)])
    with pytest.raises(FileNotFoundError, match="not complete"):
        Shards.open(storage, folder)


def test_a_lost_file_in_the_middle_is_seen(tmp_path: Path) -> None:
    folder = str(tmp_path / "inventory")
    write(Storage(), folder, 2 * SHARDS_PER_FILE + 1)
    (tmp_path / "inventory/inventory-00000.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="not complete"):
        Shards.open(Storage(), folder)


def test_only_the_files_of_an_inventory_count(tmp_path: Path) -> None:
    folder = str(tmp_path / "inventory")
    write(Storage(), folder, 3)
    (tmp_path / "inventory/notes.txt").touch()
    (tmp_path / "inventory/.inventory-00001.parquet.tmp").touch()
    assert inventory_files(Storage(), folder) == [inventory_file(folder, 0)]
