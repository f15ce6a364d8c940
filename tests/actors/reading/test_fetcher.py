from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flaky
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import NAMES, Place, s3_place
from s3 import S3
from tars import tar_of
from web import serve_folder

import actors.reading.fetcher
from actors.columns import URI, VERSION
from actors.errors import CredentialsError, ImageError
from actors.reading.coalescing import SPAN_BYTES
from actors.reading.fetcher import Fetcher, beside, read_image
from actors.reading.shards import Shards
from actors.storage.retries import Retry
from actors.storage.store import Storage
from jobs.datasets.base import Dataset
from jobs.datasets.image_versions import Versions
from jobs.datasets.images import ImagesDataset
from jobs.datasets.manifest import ManifestDataset
from jobs.datasets.parquet import ParquetDataset
from jobs.datasets.webdataset import WebDataset
from jobs.runs.inventory import write_inventory

QUICK = Retry(first_wait_s=0.001)


@pytest.fixture
def fetch(tmp_path: Path) -> Iterator[Any]:
    """Lists a dataset and fetches all of it: results by the end of the URI, and the sizes of the batches."""

    def run(dataset: Dataset, *, batch_size: int = 7, **limits: Any) -> tuple[dict[str, Any], list[int]]:
        shards = list_into(tmp_path / "inventory", dataset)
        fetcher = Fetcher(shards.without_sizes(), dataset.image_storage.with_retry(QUICK), **limits)
        found: dict[str, Any] = {}
        sizes = []
        for shard in range(shards.num_shards):
            for rows, images in fetcher.batches(shards.load(shard), batch_size):
                assert len(rows) == len(images)
                sizes.append(len(rows))
                found.update(zip(rows[URI].to_pylist(), map(plain, images), strict=True))
        return found, sizes

    yield run
    assert not [thread.name for thread in threading.enumerate() if "ThreadPool" in thread.name]


def list_into(folder: Path, dataset: Dataset) -> Shards:
    return write_inventory(
        dataset.entries(),
        storage=Storage(),
        folder=str(folder),
        shard_size=50,
        layout=dataset.layout,
        image_column=getattr(dataset, "image_column", None),
    )


def plain(image: bytes | ImageError) -> bytes | str:
    return image if isinstance(image, bytes) else f"{image.stage}/{image.kind}"


def image(number: int) -> bytes:
    return b"image %d " % number * (number % 50 + 1)


def test_files_come_in_order_and_in_batches(place: Place, fetch: Any) -> None:
    expected = {place.put(f"{number}.jpg", image(number)): image(number) for number in range(60)}
    found, sizes = fetch(ImagesDataset(path=place.root, storage_options=place.options))
    assert found == expected
    assert sizes == [7, 7, 7, 7, 7, 7, 7, 1, 7, 3]


def test_every_name_is_read(place: Place, fetch: Any) -> None:
    expected = {place.put(name, name.encode()): name.encode() for name in NAMES}
    assert fetch(ImagesDataset(path=place.root, storage_options=place.options))[0] == expected
    lines = "".join('"' + name.replace('"', '""') + '"\n' for name in NAMES)
    manifest = place.put("all.csv", f"uri\n{lines}".encode())
    assert fetch(ManifestDataset(path=manifest, storage_options=place.options))[0] == expected


def test_odd_local_files_are_rows_and_none_hangs(tmp_path: Path, fetch: Any) -> None:
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    (folder / "line\nfeed.jpg").write_bytes(b"1")
    Path(os.fsdecode(bytes(folder) + b"/\xff.jpg")).write_bytes(b"2")
    (folder / "empty.jpg").touch()
    (folder / "link.jpg").symlink_to("line\nfeed.jpg")
    (folder / "gone.jpg").symlink_to("nowhere")
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.jpg")
    # Those that no folder gives are named.
    named = [str(folder / name) for name in ("gone.jpg", "self.jpg", "pipe.jpg")]
    found, _ = fetch(ImagesDataset(path=[str(folder), *named]))
    assert {uri.rpartition("/")[2]: result for uri, result in found.items()} == {
        "line\nfeed.jpg": b"1",
        "%FF.jpg": b"2",
        "empty.jpg": "read/empty",
        "link.jpg": b"1",
        "gone.jpg": "read/not_found",
        "self.jpg": "read/io_error",
        "pipe.jpg": "read/io_error",
    }


def test_what_is_too_large_is_not_read(place: Place, fetch: Any) -> None:
    small, large = place.put("small.jpg", b"x" * 10), place.put("large.jpg", b"x" * 11)
    expected = {small: b"x" * 10, large: "read/too_large"}
    assert fetch(ImagesDataset(path=place.root, storage_options=place.options), max_bytes=10)[0] == expected
    manifest = place.put("all.csv", b"uri\nsmall.jpg\nlarge.jpg\n")
    for versions in Versions:
        dataset = ManifestDataset(path=manifest, storage_options=place.options, versions=versions)
        assert fetch(dataset, max_bytes=10)[0] == expected


def test_rows_of_a_manifest_that_cannot_be_read(place: Place, fetch: Any) -> None:
    place.put("a.jpg/b.jpg" if place.server else "a.jpg", b"a")
    rows = {
        "": "read/missing_uri",
        "none.jpg": "read/not_found",
        "nope://host/x.jpg": "read/invalid_name",
        "x\0y.jpg": "read/invalid_name",
        "http://127.0.0.1:1/x.jpg?sig=SECRET": "read/unreachable",
        "https://": "read/invalid_name",
        "double//slash.jpg": "read/invalid_name" if place.server else "read/not_found",
        "a.jpg/x.jpg": "read/not_found",
        "y" * 300 + ".jpg": "read/not_found" if place.server else "read/io_error",
    }
    table = pa.table({"uri": list(rows)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    manifest = place.put("all.parquet", sink.getvalue().to_pybytes())
    found, _ = fetch(ManifestDataset(path=manifest, storage_options=place.options))
    assert list(found.values()) == list(rows.values())


def test_no_message_tells_a_signature(tmp_path: Path) -> None:
    with serve_folder(tmp_path) as (url, _):
        for uri in (f"{url}/none.jpg?sig=SECRET", "http://127.0.0.1:1/x.jpg?sig=SECRET"):
            error = read_image(uri, storage=Storage(retry=QUICK))
            assert isinstance(error, ImageError)
            assert "SECRET" not in error.message
            assert "\n" not in error.message


def test_a_manifest_of_web_addresses(tmp_path: Path, fetch: Any) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "ü b#1.jpg").write_bytes(b"data")
    with serve_folder(folder) as (url, requests):
        uris = [f"{url}/%C3%BC%20b%231.jpg", f"{url}/%C3%BC%20b%231.jpg?size=1%2F2&x=y", f"{url}/none.jpg"]
        (tmp_path / "all.csv").write_text("uri\n" + "\n".join(uris))
        found, _ = fetch(ManifestDataset(path=f"{tmp_path}/all.csv"))
    assert list(found.values()) == [b"data", b"data", "read/not_found"]
    assert "/%C3%BC%20b%231.jpg?size=1%2F2&x=y" in requests


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
    """A disk with one bad sector: any range over it fails as a whole."""

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


def put_parquet(place: Place, name: str, column: pa.Array, **options: Any) -> str:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"image": column}), sink, **options)
    return place.put(name, sink.getvalue().to_pybytes())


def test_rows_of_parquet(place: Place, fetch: Any) -> None:
    for name, start in (("a", 0), ("b", 30)):
        images = pa.array([image(number) for number in range(start, start + 30)])
        put_parquet(place, f"{name}.parquet", images, row_group_size=13)
    found, sizes = fetch(ParquetDataset(path=place.root, storage_options=place.options))
    assert list(found.values()) in (
        [image(number) for number in range(60)],
        [image(number) for number in [*range(30, 60), *range(30)]],  # no order of files is promised
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
    put_parquet(place, "x.parquet", pa.concat_arrays([images[5:10], images]), row_group_size=5)  # all has moved
    shards = list_into(tmp_path / "inventory", dataset)
    ((_, found),) = Fetcher(shards, dataset.storage).batches(rows, 100)
    assert {plain(one) for one in found} == {"read/changed"}


@pytest.fixture
def proxy(s3: S3) -> Iterator[flaky.Flaky]:
    with flaky.serve(s3.url) as running:
        yield running


def put_dataset(kind: str, place: Place) -> Dataset:
    """40 images of the given kind of dataset; its layout differs."""
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
    """Listed and read through the proxy."""
    dataset = put_dataset(request.param, s3_place(s3))
    dataset.storage_options = {**proxy.options(s3), "read_timeout": "500ms"}
    return dataset


def read_all(dataset: Dataset, folder: Path, retry: Retry) -> list[bytes | ImageError]:
    shards = list_into(folder / "inventory", dataset)
    fetcher = Fetcher(shards, dataset.storage.with_retry(retry))
    return [
        image
        for shard in range(shards.num_shards)
        for _, batch in fetcher.batches(shards.load(shard), 7)
        for image in batch
    ]


def test_every_image_comes_through_a_store_that_fails_often(
    dataset: Dataset, proxy: flaky.Flaky, tmp_path: Path
) -> None:
    proxy.share, proxy.kinds = 0.3, [*flaky.KINDS[:-1], flaky.STALLED]  # waiting for the slow ones proves no more
    proxy.damage("GET", "half")  # with the most in a row that may follow, one less than there are attempts
    assert read_all(dataset, tmp_path, QUICK) == [image(number) for number in range(40)]
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
    found = [plain(image) for image in read_all(dataset, tmp_path, QUICK) if isinstance(image, ImageError)]
    assert found == ["read/permission_denied"]


def test_a_parquet_file_that_breaks_off_in_the_middle_is_read_on(s3: S3, proxy: flaky.Flaky, tmp_path: Path) -> None:
    values = [os.urandom(300_000) for _ in range(20)]  # more than one request reads
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


def test_wrong_data_is_asked_for_once(s3: S3, proxy: flaky.Flaky, tmp_path: Path) -> None:
    place = s3_place(s3)
    place.put("empty.jpg", b"")
    place.put("large.jpg", bytes(1000))
    place.put("all.csv", b"uri\nempty.jpg\nlarge.jpg\nnone.jpg\ndouble//slash.jpg\n")
    path, options = f"{place.root}/all.csv", proxy.options(s3)
    dataset = ManifestDataset(path=path, storage_options=options, versions=Versions.none)
    shards = list_into(tmp_path / "inventory", dataset)
    before = len(proxy.requests)
    ((_, images),) = Fetcher(shards, dataset.storage, max_bytes=10).batches(shards.load(0), 100)
    kinds = ["read/empty", "read/too_large", "read/not_found", "read/invalid_name"]
    assert [plain(image) for image in images] == kinds
    assert sorted(request.path.rpartition("/")[2] for request in proxy.requests[before:]) == [
        "empty.jpg",
        "large.jpg",
        "none.jpg",
    ]


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
    before = threading.active_count()
    batches = Fetcher(shards, dataset.storage).batches(shards.load(0), 4)
    next(batches)
    batches.close()
    assert threading.active_count() == before


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
    for _ in range(8):  # the batch that was given, and the next one
        assert read.acquire(timeout=30)
    assert not read.acquire(timeout=0.2)
    batches.close()


def test_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    shards = list_into(tmp_path / "inventory", ImagesDataset(path=str(tmp_path)))
    assert list(Fetcher(shards, Storage()).batches(shards.load(0).slice(0, 0), 4)) == []


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("/m/x.csv", "a b#?%20.jpg", "/m/a b#?%20.jpg"),
        ("/x.csv", "a.jpg", "/a.jpg"),
        ("/m/x.csv", "/abs.jpg", "/abs.jpg"),
        ("/m/x.csv", "gs://b/x", "gs://b/x"),
        ("/m/x.csv", "../a.jpg", "/m/../a.jpg"),
        ("s3://b/m/x.csv", "./../a//c.jpg", "s3://b/a/c.jpg"),
        ("s3://b/m/x.csv", "a..b/c.jpg", "s3://b/m/a..b/c.jpg"),
        ("s3://b/x.csv", "../../a.jpg", "s3://b/a.jpg"),
        ("https://h/m/x.csv?q=/deep/", "a.jpg", "https://h/m/a.jpg"),
        ("file:///m%ff/x.csv", "a b.jpg", "file:///m%ff/a%20b.jpg"),
    ],
)
def test_what_a_name_in_a_file_means(file: str, name: str, expected: str) -> None:
    assert beside(file, name) == expected


def test_one_image_alone(place: Place) -> None:
    storage = Storage(place.options)
    uri = place.put("a.jpg", b"data")
    assert read_image(uri, storage=storage) == b"data"
    assert plain(read_image(uri, storage=storage, max_bytes=3)) == "read/too_large"
    assert plain(read_image(uri, storage=storage, max_bytes=3, size=2)) == "read/too_large"
    assert plain(read_image("", storage=storage)) == "read/missing_uri"


def test_what_the_allowlist_does_not_name_is_neither_read_nor_asked_for(fetch: Any, tmp_path: Path) -> None:
    for name in ("good/a.jpg", "good2/b.jpg", "c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"image")
    (tmp_path / "good/link.jpg").symlink_to(tmp_path / "c.jpg")
    with serve_folder(tmp_path) as (url, asked), serve_folder(tmp_path) as (other, asked_of_other):
        images = ["good/a.jpg", "good/none.jpg", "good2/b.jpg", "good2/none.jpg", "good/../c.jpg", "good/link.jpg"]
        uris = [*(f"{tmp_path}/{name}" for name in images), "FILE:///etc/shadow"]
        uris += [f"{url}/good/a.jpg", f"{url}/good2/b.jpg", f"{url}/good/../c.jpg", f"{other}/good/a.jpg"]
        (tmp_path / "list.txt").write_text("\n".join(uris))
        dataset = ManifestDataset(path=f"{tmp_path}/list.txt", allow=[f"{tmp_path}/good", f"{url}/good/"])
        entries = list(dataset.entries())
        found, _ = fetch(dataset)
    allowed = {uris[0]: b"image", uris[1]: "read/not_found", uris[7]: b"image"}
    assert found == dict.fromkeys(uris, "read/not_allowed") | allowed
    versions = zip(uris, pa.concat_tables(entries)[VERSION].to_pylist(), strict=True)
    assert [uri for uri, version in versions if version is not None] == [uris[0], uris[7]]
    assert set(asked) == {"/good/a.jpg"}
    assert asked_of_other == []


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
