from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import flaky
import pyarrow as pa
import pytest
from obstore.exceptions import GenericError
from places import Place
from s3 import S3
from web import serve_folder

from actors.errors import JobError, UnreachableError
from actors.storage.retries import Retry
from actors.storage.store import Storage
from actors.storage.uris import join
from jobs.datasets.paths import container_files, first_batch, list_files, naming, paths_of
from jobs.datasets.selection import Selection

JPG = Selection([".jpg"])


def listed(path: str, storage: Storage) -> list[str]:
    return sorted(uri for batch in list_files(path, storage, JPG) for uri in batch["uri"].to_pylist())


def test_one_path_or_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home-of-someone")
    assert paths_of("images/../x") == [f"{tmp_path}/x"]
    assert paths_of(["/a", Path("/b"), 2024, "s3://b/c/"]) == ["/a", "/b", f"{tmp_path}/2024", "s3://b/c/"]
    assert paths_of("~/photos") == ["/home-of-someone/photos"]


@pytest.mark.parametrize("value", [[], "", None, {"a": 1}, ["/a", ""], 1.5])
def test_what_is_no_path(value: object) -> None:
    with pytest.raises(JobError, match=r"dataset\.path="):
        paths_of(value)


def test_a_folder_gives_its_images_at_any_depth(place: Place) -> None:
    expected = [place.put(name, b"x") for name in ("a.jpg", "b/c/d.JPG", "b/e#?%20.jpg")]
    place.put("b/notes.txt", b"x")
    assert listed(place.root, Storage(place.options)) == sorted(expected)


def test_a_file_is_itself(place: Place) -> None:
    uri = place.put("image.dat", b"x")
    assert listed(uri, Storage(place.options)) == [uri]


def test_a_name_that_exists_is_no_glob(place: Place) -> None:
    odd = place.put("[1]*?.jpg", b"x")
    place.put("1ab.jpg", b"x")
    storage = Storage(place.options)
    assert listed(odd, storage) == [odd]
    below = place.put("[f]/x.jpg", b"x")
    assert listed(join(place.root, "[f]"), storage) == [below]


def test_nothing_there(place: Place) -> None:
    place.put("x.jpg", b"x")
    storage = Storage(place.options)
    for name, problem in (("nope", "no such file or folder"), ("*.png", "the glob matches nothing")):
        with pytest.raises(JobError, match=problem) as caught:
            first_batch(join(place.root, name), storage, JPG)
        assert f"dataset.path={place.root}/{name}" in caught.value.problem


def test_an_empty_folder_is_no_error(tmp_path: Path) -> None:
    assert listed(str(tmp_path), Storage()) == []


def test_a_bucket_that_is_not_there(s3: S3) -> None:
    for path in ("s3://nobucket", "s3://nobucket/images", "s3://nobucket/*.jpg"):
        with pytest.raises(JobError, match=f"dataset.path={path}".replace("*", r"\*")) as caught:
            first_batch(path, Storage(s3.options), JPG)
        assert len(str(caught.value).splitlines()) == 2


@pytest.mark.slow
def test_a_server_that_does_not_answer(s3: S3) -> None:
    storage = Storage({**s3.options, "endpoint": "http://127.0.0.1:1"})
    with pytest.raises(UnreachableError, match=r"dataset\.storage_options.*same command again") as caught:
        first_batch("s3://bucket/images", storage, JPG)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flaky.HTML, flaky.EMPTY, "server_error", "half"])
def test_a_listing_that_is_none_is_the_servers_fault(damage: str, s3: S3) -> None:
    s3.put(f"damaged/{damage}/x.jpg", b"x")
    path = f"s3://{s3.bucket}/damaged/{damage}"
    with flaky.serve(s3.url) as proxy:
        storage = Storage(proxy.options(s3), Retry(attempts=3, first_wait_s=0.001))
        proxy.damage("", damage, damage)
        assert listed(path, storage) == [f"{path}/x.jpg"]
        proxy.damage("", *[damage] * 50)
        with pytest.raises(UnreachableError, match=f"(?s)dataset.path={path}: .*same command again"):
            first_batch(path, storage, JPG)
        with pytest.raises(UnreachableError, match="3 attempts"):
            next(storage_listing(path, storage))


def storage_listing(path: str, storage: Storage) -> Iterator[object]:
    with naming(path):
        yield from storage.list(path)


def test_a_url_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").write_bytes(b"x")
    with serve_folder(tmp_path) as (url, requests):
        assert listed(f"{url}/a%20b.jpg", Storage()) == [f"{url}/a%20b.jpg"]
        with pytest.raises(JobError, match="no such file"):
            first_batch(f"{url}/none.jpg", Storage(), JPG)
        requests.clear()
        signed = f"{url}/a%20b.jpg?signature=SECRET"
        assert listed(signed, Storage()) == [signed]
        assert requests == []  # the URL is signed for reading only


def test_a_signature_is_not_told() -> None:
    with pytest.raises(JobError) as caught, naming("https://h/x.csv?signature=SECRET"):
        raise FileNotFoundError("https://h/x.csv?signature=SECRET is gone")
    assert "SECRET" not in str(caught.value)


def test_containers_must_be_there(place: Place) -> None:
    storage = Storage(place.options)
    uri = place.put("a/x.tar", b"xyz")
    place.put("b/x.txt", b"x")
    assert [file.uri for file in container_files([join(place.root, "a"), uri], storage, Selection([".tar"]))] == [
        uri,
        uri,
    ]
    assert next(container_files([join(place.root, "a")], storage, Selection([".tar"]))).size == 3
    with pytest.raises(JobError, match=r"no file in it ends in \.tar; skipped: 1 extension \(.*/b/x\.txt\)"):
        list(container_files([join(place.root, "b")], storage, Selection([".tar"])))


def test_a_path_without_anything_may_be_allowed(place: Place) -> None:
    place.put("a/x.txt", b"x")
    storage, missing = Storage(place.options), join(place.root, "b")
    if place.server is None:
        Path(missing).mkdir()
    assert list(container_files([missing, f"{missing}/*.tar"], storage, Selection([".tar"], allow_empty=True))) == []
    with pytest.raises(JobError):
        list(container_files([missing], storage, Selection([".tar"])))
    with pytest.raises(JobError, match="no file in it ends in"):  # it is not empty
        list(container_files([join(place.root, "a")], storage, Selection([".tar"], allow_empty=True)))


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (FileNotFoundError("gone"), "spelling"),
        (PermissionError("no"), "read access"),
        (GenericError("no route\nDebug"), "storage_options"),
        (pa.ArrowInvalid("not parquet"), "fix"),
        (OSError("disk"), "fix"),
        (ValueError("two slashes"), "spelling"),
    ],
)
def test_what_goes_wrong_names_the_path(error: Exception, fix: str) -> None:
    with pytest.raises(JobError, match=fix) as caught, naming("/x"):
        raise error
    assert caught.value.problem.startswith("dataset.path=/x: ")
    assert len(str(caught.value).splitlines()) == 2
