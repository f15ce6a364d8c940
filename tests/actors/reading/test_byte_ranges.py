from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fetched import QUICK, image, list_into, plain
from places import Place
from tars import tar_of

from actors.columns import VERSION
from actors.reading.coalescing import SPAN_BYTES
from actors.reading.fetcher import Fetcher
from actors.reading.shards import Shards
from actors.storage.store import Storage
from jobs.datasets.webdataset import WebDataset


def test_members_of_tars(place: Place, fetch: Any) -> None:
    sizes = [10, 5, 8]
    for number, size in enumerate(sizes):
        members = {f"deep/{'x' * 150}/{number}-{row}.jpg": image(row) for row in range(size)}
        members |= {f"deep/{number}.txt": b"between"}
        place.put(f"{number}.tar", tar_of(members))
    found, batches = fetch(WebDataset(path=place.root, storage_options=place.options))
    assert sorted(found.values()) == sorted(image(row) for size in sizes for row in range(size))
    assert all(data == image(int(uri.rpartition("-")[2].removesuffix(".jpg"))) for uri, data in found.items())
    assert batches == [7, 7, 7, 2]


def test_members_that_are_empty_large_or_far_apart(place: Place, fetch: Any) -> None:
    members = {
        "1.jpg": b"",
        "2.jpg": b"x" * (SPAN_BYTES + 1),
        "3.jpg": b"y" * 20,
        "4.bin": bytes(1 << 20),
        "5.jpg": b"z",
    }
    path = place.put("x.tar", tar_of(members))
    dataset = WebDataset(path=path, storage_options=place.options)
    found = fetch(dataset)[0]
    assert list(found.values()) == ["read/empty", members["2.jpg"], members["3.jpg"], b"z"]
    found = fetch(dataset, max_bytes=10)[0]
    assert list(found.values()) == ["read/empty", "read/too_large", "read/too_large", b"z"]


def rows_of(shards: Shards, *, with_versions: bool) -> pa.Table:
    rows = shards.load(0)
    if with_versions:
        return rows
    return rows.set_column(rows.schema.get_field_index(VERSION), VERSION, pa.nulls(len(rows), pa.string()))


@pytest.mark.parametrize("knows_versions", [True, False])
def test_a_tar_that_was_cut_after_it_was_listed(knows_versions: bool, place: Place, tmp_path: Path) -> None:  # noqa: FBT001
    data = tar_of({f"{row}.jpg": b"%d" % row * 600 for row in range(8)})
    path = place.put("x.tar", data)
    dataset = WebDataset(path=path, storage_options=place.options)
    shards = list_into(tmp_path / "inventory", dataset)
    rows = rows_of(shards, with_versions=knows_versions)
    for length, num_whole in ((512 * 10, 3), (0, 0)):
        place.put("x.tar", data[:length])
        ((_, images),) = Fetcher(shards, dataset.storage).batches(rows, 100)
        whole = [b"%d" % row * 600 for row in range(num_whole)]
        expected = [*whole, *["read/truncated"] * (8 - num_whole)]
        assert [plain(image) for image in images] == (["read/changed"] * 8 if knows_versions else expected)


def test_a_tar_that_is_gone(place: Place, tmp_path: Path) -> None:
    path = place.put("x.tar", tar_of({f"{row}.jpg": b"x" for row in range(8)}))
    dataset = WebDataset(path=path, storage_options=place.options)
    shards = list_into(tmp_path / "inventory", dataset)
    dataset.storage.delete([path])
    ((_, images),) = Fetcher(shards, dataset.storage).batches(shards.load(0), 100)
    assert [plain(image) for image in images] == ["read/not_found"] * 8


class Unreliable(Storage):
    """A disk with one bad sector; every range that contains it fails."""

    def read_ranges(self, uri: str, starts: Any, sizes: Any) -> Any:
        if any(start <= self.bad < start + size for start, size in zip(starts, sizes, strict=True)):
            raise OSError(5, "Input/output error")
        return super().read_ranges(uri, starts, sizes)


def test_only_the_member_on_the_bad_sector_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar_of({f"{row}.jpg": b"x" * 600 for row in range(8)}))
    shards = list_into(tmp_path / "inventory", WebDataset(path=str(path)))
    storage = Unreliable(retry=QUICK)
    with tarfile.open(path) as tar:
        storage.bad = tar.getmember("5.jpg").offset_data + 10
    ((_, images),) = Fetcher(shards, storage).batches(shards.load(0), 100)
    assert [plain(image) for image in images] == [b"x" * 600] * 5 + ["read/io_error"] + [b"x" * 600] * 2
