from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import flaky
import pytest
from places import NAMES, Place
from s3 import S3
from web import serve_folder

from actors.errors import CredentialsError
from actors.storage.allowlist import Allowlist
from actors.storage.retries import Retry
from actors.storage.store import Storage
from jobs.datasets.image_versions import ImageVersions, Versions


def test_versions_are_those_of_a_listing(place: Place) -> None:
    uris = [place.put(f"x/{name}", b"x" * size) for size, name in enumerate(NAMES[:8])]
    storage = Storage(place.options)
    listed = {row["uri"]: row for batch in storage.list(f"{place.root}/x") for row in batch.to_pylist()}
    with ImageVersions(storage, Versions.all, num_requests=8) as versions:
        assert versions.describe(uris) == (
            tuple(listed[uri]["size"] for uri in uris),
            tuple(listed[uri]["version"] for uri in uris),
        )


def test_an_image_that_is_not_there_is_unknown(place: Place) -> None:
    uris = [
        f"{place.root}/a.jpg",
        place.put("b.jpg", b"b"),
        f"{place.root}/c.jpg",
        "",
        "http://host/%ff.jpg",
        "nope://h/x",
        "a\0b",
    ]
    with ImageVersions(Storage(place.options), Versions.all, num_requests=8) as versions:
        sizes, found = versions.describe(uris)
    assert sizes[:3] == (None, 1, None)
    assert [version is None for version in found] == [uri != uris[1] for uri in uris]


def test_a_web_server_tells_when_an_image_changed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    os.utime(tmp_path / "a.jpg", (1e9, 1e9))
    with serve_folder(tmp_path) as (url, requests), ImageVersions(Storage(), Versions.all, num_requests=8) as versions:
        uris = [f"{url}/a.jpg", f"{url}/a.jpg?signature=x"]
        sizes, before = versions.describe(uris)
        os.utime(tmp_path / "a.jpg", (2e9, 2e9))
        _, after = versions.describe(uris)
    assert sizes == (None, None)
    assert None not in {before[0], after[0]}
    assert before[0] != after[0]
    assert (before[1], after[1]) == (None, None)
    assert set(requests) == {"/a.jpg"}  # a signed URL is only for reading


def test_remote_images_are_not_asked_unless_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    with (
        serve_folder(tmp_path) as (url, requests),
        ImageVersions(Storage(), Versions.local, num_requests=8) as versions,
    ):
        sizes, found = versions.describe([f"{url}/a.jpg", f"{tmp_path}/a.jpg"])
    assert (sizes, found[0], requests) == ((None, 1), None, [])


@pytest.mark.slow
def test_a_store_that_fails_is_told_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with (
        caplog.at_level(logging.WARNING, "shardlens"),
        ImageVersions(Storage(), Versions.all, num_requests=8) as versions,
    ):
        uris = [f"http://127.0.0.1:{port}/{number}.jpg" for number in range(2000)]
        assert set(versions.describe(uris)[1]) == {None}
    assert caplog.text.count("changes of its images go unnoticed") == 1
    assert "dataset.versions=local" in caplog.text


def test_images_that_are_not_allowed_are_not_asked_for_and_no_failures(tmp_path: Path) -> None:
    for folder in ("good", "bad"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(b"a")
    with serve_folder(tmp_path) as (url, requests):
        storage = Storage(allow=Allowlist.parse([f"{url}/good/", str(tmp_path / "good")]))
        uris = [*[f"{url}/bad/a.jpg"] * 20, f"{tmp_path}/bad/a.jpg", f"{url}/good/a.jpg", f"{tmp_path}/good/a.jpg"]
        with ImageVersions(storage, Versions.all, num_requests=8) as versions:
            sizes, found = versions.describe(uris)
    assert [version is not None for version in found] == [False] * 21 + [True] * 2
    assert set(sizes[:-1]) == {None}
    assert requests == ["/good/a.jpg"]


@pytest.mark.slow
def test_refused_credentials_are_no_unknown_version(s3: S3) -> None:
    uri = s3.put("versions-refused/x.jpg", b"x")
    with flaky.serve(s3.url) as proxy:
        storage = Storage(proxy.options(s3), Retry(first_wait_s=0.001))
        proxy.damage("", *[flaky.EXPIRED] * 100)
        with pytest.raises(CredentialsError), ImageVersions(storage, Versions.all, num_requests=8) as versions:
            versions.describe([uri])


def test_one_request_at_a_time(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(50)]
    for name in names:
        (tmp_path / name).write_bytes(b"a")
    with serve_folder(tmp_path) as (url, requests), ImageVersions(Storage(), Versions.all, num_requests=1) as versions:
        _, found = versions.describe([f"{url}/{name}" for name in names])
    assert None not in found
    assert list(dict.fromkeys(requests)) == [f"/{name}" for name in names]
