from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import flaky
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fetched import QUICK, image, list_into, plain, put_parquet
from places import Place, s3_place
from s3 import S3

from actors.errors import ImageError
from actors.reading.fetcher import Fetcher
from jobs.datasets.parquet import ParquetDataset


def test_rows_of_parquet(place: Place, fetch: Any) -> None:
    for name, start in (("a", 0), ("b", 30)):
        images = pa.array([image(number) for number in range(start, start + 30)])
        put_parquet(place, f"{name}.parquet", images, row_group_size=13)
    found, sizes = fetch(ParquetDataset(path=place.root, storage_options=place.options))
    assert list(found.values()) in (
        [image(number) for number in range(60)],
        [image(number) for number in [*range(30, 60), *range(30)]],  # the order of files is undefined
    )
    assert sum(sizes) == 60


def test_images_of_hugging_face_and_beside_the_file(place: Place, fetch: Any) -> None:
    beside_it = place.put("data/img/ü 1.jpg", b"beside")
    values = [
        {"bytes": b"inside", "path": "nowhere.jpg"},
        {"bytes": None, "path": "img/ü 1.jpg"},
        {"bytes": None, "path": beside_it},
        {"bytes": None, "path": "none.jpg"},
        {"bytes": b"", "path": None},
        {"bytes": None, "path": None},
        {"bytes": b"x" * 11, "path": None},
        None,
    ]
    column = pa.array(values, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    path = put_parquet(place, "data/x.parquet", column)
    found, _ = fetch(ParquetDataset(path=path, storage_options=place.options), max_bytes=10)
    assert list(found.values()) == [
        b"inside",
        b"beside",
        b"beside",
        "read/not_found",
        "read/empty",
        "read/missing",
        "read/too_large",
        "read/missing",
    ]


def test_a_row_group_that_is_damaged_takes_no_other_with_it(tmp_path: Path, fetch: Any) -> None:
    path = tmp_path / "x.parquet"
    images = pa.array([os.urandom(100) for _ in range(30)])
    pq.write_table(pa.table({"image": images}), path, row_group_size=10, use_dictionary=False)
    data = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)
    found, _ = fetch(ParquetDataset(path=str(path)))
    results = list(found.values())
    assert results[:10] == images.to_pylist()[:10]
    assert all(result.startswith("read/") for result in results[10:20])
    assert results[20:] == images.to_pylist()[20:]


@pytest.mark.parametrize("now", ["gone", "text", "shorter", "another column"])
def test_a_parquet_file_that_changed_after_it_was_listed(now: str, place: Place, tmp_path: Path) -> None:
    path = put_parquet(place, "x.parquet", pa.array([image(number) for number in range(20)]), row_group_size=10)
    dataset = ParquetDataset(path=path, storage_options=place.options)
    shards = list_into(tmp_path / "inventory", dataset)
    if now == "gone":
        dataset.storage.delete([path])
    elif now == "text":
        place.put("x.parquet", b"text")
    elif now == "shorter":
        put_parquet(place, "x.parquet", pa.array([image(number) for number in range(15)]), row_group_size=10)
    else:
        sink = io.BytesIO()
        pq.write_table(pa.table({"picture": [b"x"] * 20}), sink)
        place.put("x.parquet", sink.getvalue())
    images = [plain(one) for _, batch in Fetcher(shards, dataset.storage).batches(shards.load(0), 6) for one in batch]
    kind = {"gone": "read/not_found", "shorter": "read/changed"}.get(now, "read/bad_parquet")
    num_good = 10 if now == "shorter" else 0  # the first row group
    assert images == [image(number) for number in range(num_good)] + [kind] * (20 - num_good)


def test_rows_of_parquet_are_not_taken_from_other_row_groups(place: Place, tmp_path: Path) -> None:
    images = pa.array([image(number) for number in range(20)])
    path = put_parquet(place, "x.parquet", images, row_group_size=10)
    dataset = ParquetDataset(path=path, storage_options=place.options)
    rows = list_into(tmp_path / "inventory", dataset).load(0)
    put_parquet(place, "x.parquet", pa.concat_arrays([images[5:10], images]), row_group_size=5)  # every row has moved
    shards = list_into(tmp_path / "inventory", dataset)
    ((_, found),) = Fetcher(shards, dataset.storage).batches(rows, 100)
    assert {plain(one) for one in found} == {"read/changed"}


def test_a_parquet_file_that_breaks_off_in_the_middle_is_read_on(s3: S3, proxy: flaky.Flaky, tmp_path: Path) -> None:
    values = [os.urandom(300_000) for _ in range(20)]  # more than one request
    place = s3_place(s3)
    put_parquet(place, "x.parquet", pa.array(values), row_group_size=5)
    dataset = ParquetDataset(path=place.root, storage_options=proxy.options(s3))
    shards = list_into(tmp_path / "inventory", dataset)
    fetcher = Fetcher(shards, dataset.storage.with_retry(QUICK))
    images: list[bytes | ImageError] = []
    for _, batch in fetcher.batches(shards.load(0), 3):
        proxy.damage("GET", "half", "reset")
        images += batch
    assert images == values
    assert {request.kind for request in proxy.requests} == {None, "half", "reset"}


def test_the_paths_in_a_parquet_file_are_held_to_the_allowlist_and_the_file_itself_is_not(
    fetch: Any, tmp_path: Path
) -> None:
    (tmp_path / "good").mkdir()
    for name in ("good/a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"image")
    paths = ["good/a.jpg", "b.jpg", "good/../b.jpg", None]
    images = [{"bytes": None if path else b"inside", "path": path} for path in paths]
    pq.write_table(pa.table({"image": images}), tmp_path / "x.parquet")
    dataset = ParquetDataset(path=f"{tmp_path}/x.parquet", allow=[f"{tmp_path}/good"])
    found, _ = fetch(dataset)
    assert list(found.values()) == [b"image", "read/not_allowed", "read/not_allowed", b"inside"]
