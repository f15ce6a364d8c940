from __future__ import annotations

import os
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import flaky
import pytest
from obstore.exceptions import GenericError
from places import NAMES, Place
from s3 import S3
from web import serve_folder

from actors.errors import JobError
from actors.storage.retries import Retry
from actors.storage.store import LISTING_ROWS, Storage, TooLargeError
from actors.storage.uris import join

if TYPE_CHECKING:
    from collections.abc import Callable


def listed(storage: Storage, folder: str) -> dict[str, int | None]:
    return {row["uri"]: row["size"] for batch in storage.list(folder) for row in batch.to_pylist()}


def test_every_name_is_listed_and_read_back(place: Place) -> None:
    storage = Storage(place.options)
    expected = {place.put(name, name.encode()): len(name.encode()) for name in NAMES}
    assert listed(storage, place.root) == expected
    for uri in expected:
        assert storage.read(uri).decode() == uri.removeprefix(f"{place.root}/")
        assert storage.kind(uri) == "file"


def test_versions_follow_the_content(place: Place) -> None:
    storage = Storage(place.options)
    place.put("a.jpg", b"one")
    place.put("b.jpg", b"two")
    before = {row["uri"]: row["version"] for batch in storage.list(place.root) for row in batch.to_pylist()}
    changed = place.put("a.jpg", b"three")
    after = {row["uri"]: row["version"] for batch in storage.list(place.root) for row in batch.to_pylist()}
    assert [uri for uri in before if before[uri] != after[uri]] == [changed]


def test_kinds(place: Place) -> None:
    storage = Storage(place.options)
    uri = place.put("folder/x.jpg", b"x")
    assert storage.kind(uri) == "file"
    assert storage.kind(join(place.root, "folder")) == "folder"
    assert storage.kind(join(place.root, "folder/")) == "folder"
    assert storage.kind(join(place.root, "fold")) is None
    assert storage.size(uri) == 1


def test_children_are_the_folders_one_level_below(place: Place) -> None:
    storage = Storage(place.options)
    for name in ("b c#/x", "a/x", "a/deep/x", "file"):
        place.put(name, b"x")
    assert storage.children(place.root) == [f"{place.root}/a", f"{place.root}/b c#"]
    assert storage.children(f"{place.root}/") == storage.children(place.root)
    assert storage.children(f"{place.root}/none") == []


def test_a_file_is_described_as_it_is_listed(place: Place) -> None:
    storage = Storage(place.options)
    uri = place.put("x.jpg", b"one")
    ((listed),) = (row for batch in storage.list(place.root) for row in batch.to_pylist())
    assert storage.describe(uri) == (listed["size"], listed["version"])
    place.put("x.jpg", b"three")
    assert storage.describe(uri) != (listed["size"], listed["version"])
    with pytest.raises(FileNotFoundError):
        storage.describe(f"{uri}x")


def test_the_time_of_a_change_is_that_of_the_store(place: Place) -> None:
    storage, before = Storage(place.options), datetime.now(UTC)
    changed = storage.modified(place.put("x.jpg", b"one"))
    assert abs(changed - before) < timedelta(minutes=1)
    assert changed.tzinfo is UTC or changed.utcoffset() == timedelta(0)
    with pytest.raises(FileNotFoundError):
        storage.modified(f"{place.root}/none")


def test_the_root_of_a_bucket_is_a_folder(s3: S3) -> None:
    s3.put("root.jpg", b"x")
    storage = Storage(s3.options)
    assert storage.kind(f"s3://{s3.bucket}") == storage.kind(f"s3://{s3.bucket}/") == "folder"
    assert listed(storage, f"s3://{s3.bucket}/")[f"s3://{s3.bucket}/root.jpg"] == 1


def test_more_bytes_than_the_limit_are_not_read(place: Place) -> None:
    storage = Storage(place.options)
    uri = place.put("ten", b"0123456789")
    assert storage.read(uri, max_bytes=10) == b"0123456789"
    with pytest.raises(TooLargeError, match="10 bytes, more than the limit of 9"):
        storage.read(uri, max_bytes=9)


def test_ranges_come_in_the_order_asked_and_end_with_the_file(place: Place) -> None:
    storage = Storage(place.options)
    uri = place.put("ten", b"0123456789")
    assert list(storage.read_ranges(uri, [7, 0, 4, 8, 10, 99], [2, 1, 0, 5, 1, 1])) == [
        b"78",
        b"0",
        b"",
        b"89",
        b"",
        b"",
    ]
    with pytest.raises(FileNotFoundError):
        storage.read_ranges(f"{uri}x", [0], [1])


def test_an_open_file_can_be_sought(place: Place) -> None:
    data = os.urandom(3 << 20)
    uri = place.put("blob", data)
    with Storage(place.options).open(uri) as file:
        assert file.seek(-5, os.SEEK_END) == len(data) - 5
        assert file.read(100) == data[-5:]
        file.seek(1 << 20)
        assert file.read(2_000_000) == data[1 << 20 :][:2_000_000]
        assert file.read(0) == b""


def test_what_is_not_there(place: Place) -> None:
    storage = Storage(place.options)
    place.put("x", b"x")
    missing = join(place.root, "missing")
    for read in (storage.read, storage.size, storage.describe, storage.open):
        with pytest.raises(FileNotFoundError):
            read(missing)
    storage.delete([missing])


def test_objects_are_written_whole_replaced_and_removed(place: Place) -> None:
    storage = Storage(place.options)
    uri = join(place.root, "deep/er/x.bin")
    storage.write(uri, b"one")
    storage.write(uri, memoryview(b"two!"))
    assert storage.read(uri) == b"two!"
    assert listed(storage, place.root) == {uri: 4}
    with pytest.raises(FileExistsError):
        storage.write(uri, b"three", create=True)
    storage.delete([uri])
    storage.write(uri, b"four", create=True)
    assert storage.read(uri) == b"four"


def test_a_copy_by_pickle_reads_as_well(place: Place) -> None:
    storage = Storage(place.options, Retry(attempts=7))
    uri = place.put("x", b"data")
    assert storage.read(uri) == b"data"
    copied = pickle.loads(pickle.dumps(storage))  # noqa: S301
    assert copied.read(uri) == b"data"
    assert copied.retry == Retry(attempts=7)


def test_a_storage_with_other_retries(s3: S3) -> None:
    uri = s3.put("retried", b"data")
    with flaky.serve(s3.url) as proxy:
        storage = Storage(proxy.options(s3), Retry(attempts=1))
        for _ in range(2):
            proxy.damage("GET", "slow_down")
            patient = storage.with_retry(Retry(attempts=2, first_wait_s=0.001))
            assert patient.read(uri) == b"data"
            proxy.damage("GET", "slow_down")
            with pytest.raises(GenericError):
                storage.read(uri)


LINUX_ONLY = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file of Linux")


@LINUX_ONLY
def test_errors_of_a_disk_are_tried_again() -> None:
    storage = Storage(retry=Retry(attempts=4, first_wait_s=0.001))
    for read in (storage.read, lambda uri: storage.read_ranges(uri, [0], [10])):
        with pytest.raises(OSError, match="Input/output error") as caught:
            read("/proc/self/mem")
        assert caught.value.__notes__ == ["4 attempts"]


def test_thousands_of_files_come_in_bounded_batches(tmp_path: Path) -> None:
    for number in range(5000):
        (tmp_path / f"{number}.jpg").touch()
    sizes = [len(batch) for batch in Storage().list(str(tmp_path))]
    assert sum(sizes) == 5000
    assert max(sizes) == LISTING_ROWS


def test_local_names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "line\nfeed.jpg").write_bytes(b"1")
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff\xfe #?%.jpg")).write_bytes(b"2")
    storage = Storage()
    found = listed(storage, str(tmp_path))
    assert {storage.read(uri) for uri in found} == {b"1", b"2"}
    assert sorted(uri.startswith("file://") for uri in found) == [False, True]


def test_links_are_followed_and_a_loop_ends(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "real.jpg").write_bytes(b"real")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/far.jpg").write_bytes(b"far")
    (folder / "link.jpg").symlink_to("real.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "loop").symlink_to(folder)
    (folder / "away").symlink_to(tmp_path / "elsewhere")
    found = {uri.removeprefix(f"{folder}/"): size for uri, size in listed(Storage(), str(folder)).items()}
    assert found == {"real.jpg": 4, "link.jpg": 4, "dangling.jpg": None, "self.jpg": None, "away/far.jpg": 3}


def test_a_named_pipe_does_not_hold_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for read in (lambda uri: Storage().read(uri), lambda uri: Storage().read_ranges(uri, [0], [1])):
        with pytest.raises(OSError, match="not a regular file"):
            read(str(tmp_path / "pipe.jpg"))


def test_http_urls_are_decoded_and_keep_their_query(tmp_path: Path) -> None:
    (tmp_path / "two words#.jpg").write_bytes(b"data")
    with serve_folder(tmp_path) as (url, requests):
        storage = Storage()
        assert storage.read(f"{url}/two%20words%23.jpg") == b"data"
        assert storage.read(f"{url}/two%20words%23.jpg?size=1&key=a%2Fb") == b"data"
        with pytest.raises(FileNotFoundError):
            storage.read(f"{url}/none.jpg")
    assert requests[:2] == ["/two%20words%23.jpg", "/two%20words%23.jpg?size=1&key=a%2Fb"]


@pytest.mark.parametrize(
    "act", [lambda s, u: next(s.list(u)), lambda s, u: s.write(u, b"x"), lambda s, u: s.delete([u])]
)
def test_a_web_server_is_only_read(act: Callable[[Storage, str], object]) -> None:
    with pytest.raises(JobError, match=r"http://…@host/x\?…: a web server has no folders") as caught:
        act(Storage(), "http://user:SECRET@host/x?sig=SECRET")
    assert "SECRET" not in str(caught.value)


def test_schemes_are_read_in_any_letter_case(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"data")
    os.mkfifo(tmp_path / "pipe.jpg")
    with serve_folder(tmp_path) as (url, _):
        for uri in (f"HTTP{url[4:]}/a.jpg", f"FILE://{tmp_path}/a.jpg", f"file:{tmp_path}/a.jpg"):
            assert Storage().read(uri) == b"data"
    with pytest.raises(OSError, match="not a regular file"):
        Storage().read(f"FILE://{tmp_path}/pipe.jpg")


def test_one_signed_url_leaves_no_client_behind(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    storage = Storage()
    with serve_folder(tmp_path) as (url, _):
        for number in range(3):
            storage.read(f"{url}/x?signature={number}")
    assert not storage._stores


@pytest.mark.parametrize("uri", ["nope://host/x", "s3://"])
def test_an_address_of_no_known_kind(uri: str) -> None:
    with pytest.raises(JobError, match="fix: use s3://"):
        Storage().read(uri)


def test_options_that_no_store_knows() -> None:
    with pytest.raises(JobError, match="regoin") as caught:
        Storage({"regoin": "x"}).read("s3://bucket/x")
    assert len(str(caught.value).splitlines()) == 2


def test_keys_that_obstore_cannot_list(s3: S3) -> None:
    s3.put("double//slash.jpg", b"x")
    with pytest.raises(JobError, match=r"double//slash\.jpg"):
        list(Storage(s3.options).list(f"s3://{s3.bucket}/double"))
