from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from listings import column_of, entries_of
from places import Place

from actors.columns import FILE, IMAGE_ID, OFFSET, SIZE, TARGET, URI, VERSION
from actors.errors import JobError
from actors.reading.row_group_versions import row_group_versions
from actors.reading.shards import Layout, Shards
from actors.storage.store import Storage
from jobs.datasets.parquet import ParquetDataset
from jobs.runs.incremental import done_images, only_new
from jobs.runs.inventory import write_inventory


def table_of(num_rows: int, start: int = 0) -> pa.Table:
    numbers = range(start, start + num_rows)
    return pa.table(
        {
            "image": pa.array([b"image %d" % number for number in numbers], pa.binary()),
            "key": [f"k{number}" if number % 2 else None for number in numbers],
            "label": pa.array([number % 3 for number in numbers], pa.int8()),
            "meta": [{"deep": number} for number in numbers],
        },
        schema=pa.schema(
            [
                ("image", pa.binary()),
                ("key", pa.string()),
                ("label", pa.int8()),
                ("meta", pa.struct([("deep", pa.int64())])),
            ]
        ),
    )


def put(place: Place, name: str, table: pa.Table, **options: object) -> str:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return place.put(name, sink.getvalue().to_pybytes())


def test_rows_are_listed_with_their_columns(place: Place) -> None:
    path = put(place, "data/日本 #?.parquet", table_of(5), row_group_size=2)
    dataset = ParquetDataset(
        path=path, id_column="key", label_column="label", keep_columns=["meta", "label"], storage_options=place.options
    )
    dataset.check()
    entries = entries_of(dataset)
    assert entries[URI].to_pylist() == [f"{path}#{row}" for row in range(5)]
    assert entries[IMAGE_ID].to_pylist() == [f"{path}#0", "k1", f"{path}#2", "k3", f"{path}#4"]
    assert set(entries[FILE].to_pylist()) == {path}
    assert entries[OFFSET].to_pylist() == [0, 1, 2, 3, 4]
    assert entries[SIZE].null_count == 5
    assert entries[TARGET].to_pylist() == ["0", "1", "2", "0", "1"]
    assert entries["meta"].to_pylist() == [{"deep": row} for row in range(5)]
    assert entries.schema.field("label").type == pa.int8()
    assert dataset.layout is Layout.ROWS
    assert [len(table) for table in dataset.entries() if len(table)] == [2, 2, 1]


def test_shards_end_with_row_groups(place: Place, tmp_path: Path) -> None:
    for number in range(3):
        put(place, f"{number}.parquet", table_of(10, number * 10), row_group_size=4)
    dataset = ParquetDataset(path=place.root, storage_options=place.options)
    shards: Shards = write_inventory(
        dataset.entries(),
        storage=Storage(),
        folder=str(tmp_path / "inventory"),
        shard_size=5,
        layout=dataset.layout,
        image_column=dataset.image_column,
    )
    assert list(shards.sizes) == [8, 6, 6, 8, 2]
    rows = pa.concat_tables(shards.load(shard) for shard in range(5))
    assert sorted(rows[OFFSET].to_pylist()) == sorted([*range(10)] * 3)


def test_files_without_rows_and_without_row_groups(tmp_path: Path) -> None:
    pq.write_table(table_of(0), tmp_path / "a.parquet")
    with pq.ParquetWriter(tmp_path / "b.parquet", table_of(0).schema):
        pass
    dataset = ParquetDataset(path=str(tmp_path), keep_columns=["meta"], allow_empty=True)
    dataset.check()
    assert len(entries_of(dataset)) == 0
    pq.write_table(table_of(2), tmp_path / "c.parquet")
    assert len(entries_of(dataset)) == 2


@pytest.mark.parametrize(
    "arrow_type",
    [
        pa.binary(),
        pa.large_binary(),
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        pa.struct([("path", pa.string()), ("bytes", pa.large_binary())]),
    ],
)
def test_types_of_images(arrow_type: pa.DataType, tmp_path: Path) -> None:
    pq.write_table(pa.table({"img": pa.nulls(3, arrow_type)}), tmp_path / "x.parquet")
    assert len(column_of(ParquetDataset(path=str(tmp_path), image_column="img"), URI)) == 3


@pytest.mark.parametrize(
    "arrow_type", [pa.string(), pa.int64(), pa.list_(pa.binary()), pa.struct([("path", pa.string())])]
)
def test_what_is_no_image(arrow_type: pa.DataType, tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": pa.nulls(3, arrow_type)}), tmp_path / "x.parquet")
    with pytest.raises(JobError, match=r"dataset\.image_column=image: it is "):
        ParquetDataset(path=str(tmp_path)).check()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"image_column": "picture"}, r"dataset\.image_column=picture: .* has no such column"),
        ({"keep_columns": ["nope"]}, r"dataset\.keep_columns=nope: .* has no such column"),
        ({"id_column": "meta"}, r"dataset\.id_column=meta: it is struct"),
        ({"label_column": "image"}, r"dataset\.image_column=image: the images cannot"),
    ],
)
def test_wrong_columns(settings: dict[str, object], problem: str, tmp_path: Path) -> None:
    pq.write_table(table_of(3), tmp_path / "x.parquet")
    with pytest.raises(JobError, match=problem):
        ParquetDataset(path=str(tmp_path), **settings).check()


def test_broken_files(place: Place) -> None:
    path = put(place, "x.parquet", table_of(50))
    data = Storage(place.options).read(path)
    for broken in (b"", b"PAR1", data[:-10], data[:4] + b"x" * 40):
        cut = place.put("cut.parquet", broken)
        with pytest.raises(JobError, match=r"dataset\.path=.*cut\.parquet: ") as caught:
            ParquetDataset(path=cut, storage_options=place.options).check()
        assert len(str(caught.value).splitlines()) == 2


def test_a_later_file_of_another_kind(tmp_path: Path) -> None:
    pq.write_table(table_of(1), tmp_path / "a.parquet")
    pq.write_table(table_of(1).drop_columns(["image"]), tmp_path / "b.parquet")
    pq.write_table(table_of(1).set_column(2, "label", pa.array(["cat"])), tmp_path / "c.parquet")
    a, b, c = (f"{tmp_path}/{name}.parquet" for name in "abc")
    with pytest.raises(JobError, match=r"dataset\.image_column=image: .*b\.parquet has no such column"):
        list(ParquetDataset(path=[a, b]).entries())
    with pytest.raises(JobError, match=r"c\.parquet: its column label is string and cannot be converted to int8"):
        list(ParquetDataset(path=[a, c], keep_columns=["label"]).entries())
    assert column_of(ParquetDataset(path=[a, c], label_column="label"), TARGET) == ["0", "cat"]


def test_a_folder_without_parquet(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no file in it ends in \.parquet"):
        ParquetDataset(path=str(tmp_path)).check()


def test_images_are_not_read_for_the_list(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(table_of(3), path)
    place = pq.read_metadata(path).row_group(0).column(0)
    data = bytearray(path.read_bytes())
    start = place.dictionary_page_offset or place.data_page_offset
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(OSError, match="thrift"):
        pq.read_table(path)
    assert len(entries_of(ParquetDataset(path=str(path), keep_columns=["label"]))) == 3


def test_versions_are_those_of_the_row_groups(place: Place) -> None:
    path = put(place, "data/x.parquet", table_of(5), row_group_size=2)
    with Storage(place.options).open(path) as source:
        first, second, third = row_group_versions(pq.read_metadata(source))
    for where in (path, f"{place.root}/data"):
        dataset = ParquetDataset(path=where, storage_options=place.options)
        assert column_of(dataset, VERSION) == [first, first, second, second, third]


def images_of(num_rows: int, start: int = 0) -> pa.Table:
    """Returns rows with images of different sizes."""
    return pa.table({"image": pa.array([b"%d" % row * (row + 1) for row in range(start, start + num_rows)])})


A, B, C = images_of(4), images_of(4, 10), images_of(4, 20)


@pytest.mark.parametrize(
    ("groups", "new_rows"),
    [
        ([A, B], []),
        ([A, B, C], [[8, 9, 10, 11]]),
        ([A, C], [[4, 5, 6, 7]]),
        ([C, B], [[0, 1, 2, 3]]),
        ([B, A], [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ([B], [[0, 1, 2, 3]]),
        ([A], []),
        ([A, B.slice(0, 3), C], [[4, 5, 6], [7, 8, 9, 10]]),
    ],
)
def test_new_are_the_rows_of_row_groups_that_changed(
    groups: list[pa.Table], new_rows: list[list[int]], tmp_path: Path
) -> None:
    path = tmp_path / "x.parquet"
    dataset = ParquetDataset(path=str(path))

    def listed(*groups: pa.Table) -> Iterator[pa.Table]:
        with pq.ParquetWriter(path, groups[0].schema) as writer:
            for group in groups:
                writer.write_table(group)
        return dataset.entries()

    done = write_inventory(
        listed(A, B),
        storage=Storage(),
        folder=str(tmp_path / "inventory"),
        shard_size=3,
        layout=dataset.layout,
        image_column=dataset.image_column,
    )
    tables = only_new(listed(*groups), done_images([done]))
    assert [table[OFFSET].to_pylist() for table in tables if len(table)] == new_rows
