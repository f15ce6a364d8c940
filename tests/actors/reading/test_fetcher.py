from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import flaky
import pyarrow as pa
import pytest
from fetched import QUICK, image, list_into, plain, put_parquet
from places import Place, s3_place
from s3 import S3
from tars import tar_of

import actors.reading.fetcher
from actors.errors import CredentialsError, ImageError
from actors.reading.fetcher import Fetcher
from actors.reading.shards import Shards
from actors.storage.retries import Retry
from actors.storage.store import Storage
from jobs.datasets.base import Dataset
from jobs.datasets.images import ImagesDataset
from jobs.datasets.parquet import ParquetDataset
from jobs.datasets.webdataset import WebDataset


def put_dataset(kind: str, place: Place) -> Dataset:
    """Writes a dataset of 40 images in the layout of its kind."""
    images = {f"{number:02d}.jpg": image(number) for number in range(40)}
    if kind == "tar":
        place.put("a.tar", tar_of(dict(list(images.items())[:25])))
        place.put("b.tar", tar_of(dict(list(images.items())[25:])))
        return WebDataset(path=place.root)
    if kind == "parquet":
        put_parquet(place, "x.parquet", pa.array(images.values()), row_group_size=10)
        return ParquetDataset(path=place.root)
    for name, data in images.items():
        place.put(name, data)
    return ImagesDataset(path=place.root)


KINDS = ["files", "tar", "parquet"]


@pytest.fixture(params=KINDS)
def dataset(request: pytest.FixtureRequest, s3: S3, proxy: flaky.Flaky) -> Dataset:
    """Returns a dataset that is listed and read through the proxy."""
    dataset = put_dataset(request.param, s3_place(s3))
    dataset.storage_options = {**proxy.options(s3), "read_timeout": "500ms"}
    return dataset


def read_all(shards: Shards, storage: Storage) -> list[bytes | ImageError]:
    fetcher = Fetcher(shards, storage)
    return [
        image
        for shard in range(shards.num_shards)
        for _, batch in fetcher.batches(shards.load(shard), 7)
        for image in batch
    ]


@pytest.mark.slow
def test_every_image_comes_through_a_store_that_fails_often(
    dataset: Dataset, proxy: flaky.Flaky, tmp_path: Path
) -> None:
    shards = list_into(tmp_path / "inventory", dataset)
    proxy.share, proxy.kinds = 0.3, [*flaky.KINDS[:-1], flaky.STALLED]  # slow responses would only take time
    proxy.damage("GET", "half")
    # At most four responses in a row are damaged; on a busy machine, a few good ones may be late as well.
    storage = dataset.storage.with_retry(replace(QUICK, attempts=12))
    assert read_all(shards, storage) == [image(number) for number in range(40)]
    assert any(request.kind for request in proxy.requests)


@pytest.mark.parametrize(
    ("damage", "kind"),
    [("slow_down", "throttled"), ("server_error", "server_error"), ("half", "unreachable"), ("lost", "unreachable")],
)
def test_after_the_last_attempt_there_are_error_rows(
    damage: str, kind: str, dataset: Dataset, proxy: flaky.Flaky, tmp_path: Path
) -> None:
    shards = list_into(tmp_path / "inventory", dataset)
    proxy.damage("GET", *[damage] * 1000)
    for attempts, note in ((1, "(1 attempt)"), (2, "(2 attempts)")):
        before = proxy.count("GET")
        fetcher = Fetcher(shards, dataset.storage.with_retry(Retry(attempts, first_wait_s=0.001)))
        images = [image for _, batch in fetcher.batches(shards.load(0), 7) for image in batch]
        assert len(images) == 40
        assert {plain(image) for image in images} == {f"read/{kind}"}
        assert all(image.message.endswith(note) for image in images if isinstance(image, ImageError))
        num_objects = {"images": 40, "webdataset": 2, "parquet": 1}[dataset.kind]
        assert proxy.count("GET") - before == num_objects * attempts


def test_refused_credentials_are_no_images_error(dataset: Dataset, proxy: flaky.Flaky, tmp_path: Path) -> None:
    shards = list_into(tmp_path / "inventory", dataset)
    fetcher = Fetcher(shards, dataset.storage.with_retry(QUICK))
    proxy.damage("GET", flaky.EXPIRED, flaky.EXPIRED)
    assert [image for _, batch in fetcher.batches(shards.load(0), 7) for image in batch] == [
        image(number) for number in range(40)
    ]
    proxy.damage("", *[flaky.EXPIRED] * 1000)
    with pytest.raises(CredentialsError, match="ExpiredToken"):
        list(Fetcher(shards, dataset.storage.with_retry(QUICK)).batches(shards.load(0), 7))


def test_one_image_that_is_denied_is_told_apart(s3: S3, proxy: flaky.Flaky, tmp_path: Path) -> None:
    dataset = put_dataset("files", s3_place(s3))
    dataset.storage_options = proxy.options(s3)
    proxy.damage("/07.jpg", *[flaky.DENIED] * 10)
    images = read_all(list_into(tmp_path / "inventory", dataset), dataset.storage.with_retry(QUICK))
    found = [plain(image) for image in images if isinstance(image, ImageError)]
    assert found == ["read/permission_denied"]


def test_one_look_at_each_tar(s3: S3, proxy: flaky.Flaky, tmp_path: Path) -> None:
    dataset = put_dataset("tar", s3_place(s3))
    dataset.storage_options = proxy.options(s3)
    shards = list_into(tmp_path / "inventory", dataset)
    before = len(proxy.requests)
    fetcher = Fetcher(shards, dataset.storage)
    rows = shards.load(0)
    for start in range(len(rows)):
        list(fetcher.batches(rows.slice(start, 1), 1))
    assert [request.method for request in proxy.requests[before:]].count("HEAD") == 2


def test_a_batch_ends_early_rather_than_fill_the_memory(
    tmp_path: Path, fetch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors.reading.fetcher, "BATCH_BYTES", 100)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.jpg").write_bytes(b"x" * 50)
    _, sizes = fetch(ImagesDataset(path=str(folder)))
    assert sizes == [2] * 5


def test_a_consumer_that_stops_leaves_no_thread(place: Place, tmp_path: Path) -> None:
    for number in range(40):
        place.put(f"{number}.jpg", b"x")
    dataset = ImagesDataset(path=place.root, storage_options=place.options)
    shards = list_into(tmp_path / "inventory", dataset)
    before = set(threading.enumerate())  # threads of earlier tests may end meanwhile
    batches = Fetcher(shards, dataset.storage).batches(shards.load(0), 4)
    next(batches)
    batches.close()
    assert set(threading.enumerate()) <= before


def test_the_next_batch_is_read_meanwhile_and_no_more(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.jpg").write_bytes(b"x")
    read = threading.Semaphore(0)

    class Watched(Storage):
        def read(self, uri: str, *, max_bytes: int | None = None) -> bytes:
            read.release()
            return super().read(uri, max_bytes=max_bytes)

    shards = list_into(tmp_path / "inventory", ImagesDataset(path=str(tmp_path)))
    batches = Fetcher(shards, Watched()).batches(shards.load(0), 4)
    next(batches)
    for _ in range(8):  # the returned batch and the next one
        assert read.acquire(timeout=30)
    assert not read.acquire(timeout=0.2)
    batches.close()


def test_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    shards = list_into(tmp_path / "inventory", ImagesDataset(path=str(tmp_path)))
    assert list(Fetcher(shards, Storage()).batches(shards.load(0).slice(0, 0), 4)) == []
