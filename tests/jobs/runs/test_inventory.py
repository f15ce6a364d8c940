from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.columns import FILE, IMAGE_ID, INVENTORY_FIELDS, OFFSET, ROW, SHARD, SIZE, TARGET, URI
from actors.reading.shards import SHARDS_PER_FILE, Layout, Shards
from actors.storage.store import Storage
from jobs.datasets.kept_columns import entry_schema, entry_table
from jobs.runs.inventory import write_inventory

SCHEMA = entry_schema(has_target=True, kept=[pa.field("année", pa.int16()), pa.field("tags", pa.list_(pa.string()))])
ODD_NAMES = ["日本/写真.jpg", "a b#?%20.jpg", "line\nfeed", "quo'te\".jpg", "مرحبا", "", "\U0001f431.jpg"]


def entries(*sizes: int) -> Iterator[pa.Table]:
    start = 0
    for size in sizes:
        uris = pa.array([f"{number}.jpg" for number in range(start, start + size)], pa.string())
        yield entry_table({URI: uris}, SCHEMA)
        start += size


def write(folder: Path, tables: Iterator[pa.Table], *, shard_size: int | str, layout: Layout = Layout.FILES) -> Shards:
    return write_inventory(
        tables, storage=Storage(), folder=str(folder), shard_size=shard_size, layout=layout, image_column=None
    )


@pytest.mark.parametrize("sizes", [(10,), (0, 4, 0, 6), (1,) * 10, (3, 7), (7, 3, 0)])
def test_shards_are_exactly_as_large_as_asked(sizes: tuple[int, ...], tmp_path: Path) -> None:
    shards = write(tmp_path, entries(*sizes), shard_size=4)
    assert list(shards.sizes) == [4, 4, 2]
    assert (shards.num_shards, shards.num_rows) == (3, 10)
    rows = pa.concat_tables(shards.load(shard) for shard in range(3))
    assert rows[URI].to_pylist() == [f"{number}.jpg" for number in range(10)]
    assert rows[SHARD].to_pylist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert rows[ROW].to_pylist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize(
    ("image_bytes", "rows"),
    [(None, 512), (500, 4096), (16_000, 2048), (50_000, 1024), (110_000, 512), (400_000, 128), (10**8, 128)],
)
def test_auto_makes_shards_of_about_the_same_bytes(image_bytes: int | None, rows: int, tmp_path: Path) -> None:
    uris = pa.array([f"{number}.jpg" for number in range(5_000)], pa.string())
    listed = entry_table({URI: uris, SIZE: pa.array([image_bytes] * 5_000, pa.int64())}, SCHEMA)
    assert write(tmp_path, iter([listed]), shard_size="auto").sizes[0] == rows


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((3, 3, 3), [6, 3]),  # gathered until there are enough
        ((5, 5, 1), [5, 5, 1]),  # never cut between
        ((32,), [32]),  # eight times the size is not split
        ((33,), [4] * 8 + [1]),  # more is not
        ((2, 33, 2), [6] + [4] * 7 + [3]),
        ((1, 0, 0, 1), [2]),
    ],
)
def test_shards_of_parquet_rows_end_with_a_row_group(
    sizes: tuple[int, ...], expected: list[int], tmp_path: Path
) -> None:
    shards = write(tmp_path, entries(*sizes), shard_size=4, layout=Layout.ROWS)
    assert list(shards.sizes) == expected
    rows = pa.concat_tables(shards.load(shard) for shard in range(shards.num_shards))
    assert rows[URI].to_pylist() == [f"{number}.jpg" for number in range(sum(sizes))]


def test_any_reader_can_read_it(tmp_path: Path) -> None:
    uris = pa.array(ODD_NAMES, pa.string())
    numbers = pa.array(range(len(ODD_NAMES)), pa.int64())
    columns = {URI: uris, FILE: uris, OFFSET: numbers, TARGET: uris, "année": numbers.cast(pa.int16())}
    columns["tags"] = pa.array([[name, None] for name in ODD_NAMES], pa.list_(pa.string()))
    write(tmp_path / "inventory", iter([entry_table(columns, SCHEMA)]), shard_size=3)
    table = pq.read_table(tmp_path / "inventory")
    assert table.schema.remove_metadata() == pa.schema([*INVENTORY_FIELDS, *list(SCHEMA)[6:]])
    assert table[IMAGE_ID].to_pylist() == table[FILE].to_pylist() == table[TARGET].to_pylist() == ODD_NAMES
    assert table["tags"].to_pylist() == columns["tags"].to_pylist()


def test_a_shard_is_a_row_group_and_a_file_has_64(tmp_path: Path) -> None:
    shards = write(tmp_path, entries(*[100] * 3), shard_size=2)
    files = [pq.ParquetFile(path).metadata for path in sorted(tmp_path.iterdir())]
    assert [file.num_row_groups for file in files] == [SHARDS_PER_FILE, SHARDS_PER_FILE, 22]
    assert {file.row_group(0).column(2).compression for file in files} == {"ZSTD"}
    np.testing.assert_array_equal(shards.sizes, [2] * 150)


def test_no_images_leave_one_file_that_says_so(tmp_path: Path) -> None:
    shards = write(tmp_path, entries(0), shard_size=4)
    assert (shards.num_shards, shards.num_rows, len(shards.sizes)) == (0, 0, 0)
    assert pq.read_table(tmp_path).schema.names == [field.name for field in shards.schema]
    opened = Shards.open(Storage(), str(tmp_path))
    assert (opened.num_shards, opened.schema) == (0, shards.schema)


def test_what_a_broken_listing_left_is_removed(tmp_path: Path) -> None:
    write(tmp_path, entries(300), shard_size=1)
    shards = write(tmp_path, entries(3), shard_size=1)
    assert [path.name for path in tmp_path.iterdir()] == ["inventory-00000.parquet"]
    assert Shards.open(Storage(), str(tmp_path)).num_rows == shards.num_rows == 3


def test_a_listing_is_written_while_it_is_read(tmp_path: Path) -> None:
    def watched() -> Iterator[pa.Table]:
        for number, table in enumerate(entries(*[SHARDS_PER_FILE] * 5)):
            assert len(list(tmp_path.glob("*.parquet"))) >= number - 2
            yield table

    assert write(tmp_path, watched(), shard_size=1).num_shards == 5 * SHARDS_PER_FILE


def test_the_column_of_the_images_is_kept(tmp_path: Path) -> None:
    write_inventory(
        entries(1), storage=Storage(), folder=str(tmp_path), shard_size=1, layout=Layout.ROWS, image_column="img"
    )
    opened = Shards.open(Storage(), str(tmp_path))
    assert (opened.layout, opened.image_column) == (Layout.ROWS, "img")
