from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import Place

from actors.reading.image_column import READ_BYTES, ImageColumn
from actors.reading.row_group_versions import row_group_versions
from actors.storage.store import Storage


def put(place: Place, image: pa.Array, **options: object) -> str:
    sink = pa.BufferOutputStream()
    other = pa.array(["other"] * len(image))
    pq.write_table(pa.table({"image": image, "other": other, "image.x": other}), sink, **options)
    return place.put("x.parquet", sink.getvalue().to_pybytes())


def read(uri: str, numbers: list[int], storage: Storage | None = None) -> list[tuple[bytes | None, str | None]]:
    with ImageColumn(uri, "image", storage or Storage()) as rows:
        return [value for group, positions in rows.by_group(numbers) for value in rows.read(group, positions)]


IMAGES = [b"image %d" % number if number % 7 else None for number in range(100)]


@pytest.mark.parametrize("numbers", [[0], [99], [3, 4, 29, 30, 31, 90], list(range(100)), []])
@pytest.mark.parametrize("arrow_type", [pa.binary(), pa.large_binary()])
def test_rows_by_number(numbers: list[int], arrow_type: pa.DataType, place: Place) -> None:
    uri = put(place, pa.array(IMAGES, arrow_type), row_group_size=30)
    assert read(uri, numbers, Storage(place.options)) == [(IMAGES[number], None) for number in numbers]


def test_the_struct_of_hugging_face(place: Place) -> None:
    values = [{"bytes": b"1", "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}, {"bytes": b"3", "path": None}, None]
    arrow_type = pa.struct([("path", pa.string()), ("bytes", pa.binary())])
    uri = put(place, pa.array(values, arrow_type))
    assert read(uri, [0, 1, 2, 3], Storage(place.options)) == [
        (b"1", "a.jpg"),
        (None, "b.jpg"),
        (b"3", None),
        (None, None),
    ]


def test_a_struct_with_more_in_it(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [{"bytes": b"1", "width": 3}]}), tmp_path / "x.parquet")
    assert read(f"{tmp_path}/x.parquet", [0]) == [(b"1", None)]


def test_row_groups_without_rows(tmp_path: Path) -> None:
    schema = pa.schema([("image", pa.binary())])
    with pq.ParquetWriter(tmp_path / "x.parquet", schema) as writer:
        for rows in ([], [b"0"], [], [], [b"1", b"2"], []):
            writer.write_table(pa.table({"image": pa.array(rows, pa.binary())}))
    assert read(f"{tmp_path}/x.parquet", [0, 1, 2]) == [(b"0", None), (b"1", None), (b"2", None)]


def test_rows_behind_the_end(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"0"]}), tmp_path / "x.parquet")
    with ImageColumn(f"{tmp_path}/x.parquet", "image", Storage()) as rows:
        (group, positions), (behind, beyond) = rows.by_group([0, 1])
        assert list(rows.read(group, positions)) == [(b"0", None)]
        with pytest.raises(IndexError):
            list(rows.read(behind, beyond))


def test_versions_are_those_of_the_row_groups(place: Place) -> None:
    uri = put(place, pa.array(IMAGES), row_group_size=30)
    storage = Storage(place.options)
    with ImageColumn(uri, "image", storage) as rows, storage.open(uri) as source:
        assert [rows.version(group) for group in range(5)] == [*row_group_versions(pq.read_metadata(source)), None]


def test_large_images_are_decoded_a_few_at_a_time(tmp_path: Path) -> None:
    image = b"x" * (READ_BYTES // 4)
    options = {"use_dictionary": False, "compression": "zstd", "write_batch_size": 1}  # one page per image
    pq.write_table(pa.table({"image": [image] * 16}), tmp_path / "x.parquet", **options)
    before = pa.total_allocated_bytes()
    with ImageColumn(f"{tmp_path}/x.parquet", "image", Storage()) as rows:
        for data, _ in rows.read(0, range(16)):
            assert data == image
            assert pa.total_allocated_bytes() - before < 3 * READ_BYTES


def test_what_cannot_be_read(place: Place) -> None:
    storage = Storage(place.options)
    uri = put(place, pa.array([b"1"]))
    with pytest.raises(KeyError):
        ImageColumn(uri, "picture", storage)
    with pytest.raises(FileNotFoundError):
        ImageColumn(f"{place.root}/none.parquet", "image", storage)
    with pytest.raises(pa.ArrowInvalid):
        ImageColumn(place.put("text.parquet", b"no parquet file"), "image", storage)
