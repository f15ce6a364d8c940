from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from actors.errors import JobError
from actors.messages import read_error
from actors.storage.allowlist import Allowlist, NotAllowedError
from actors.storage.store import Storage

WEB = Allowlist.parse(["https://good.example/photos", "http://127.0.0.1:8080/", "s3://bucket/a/"])
PUBLIC = Allowlist.parse(["https://", "https://10.0.0.1/", "s3://localhost/bucket"])


def allows(allowlist: Allowlist, uri: str) -> bool:
    try:
        allowlist.check(uri)
    except NotAllowedError:
        return False
    return True


@pytest.mark.parametrize(
    "uri",
    [
        "https://good.example/photos",
        "https://good.example/photos/x.jpg?size=1",
        "HTTPS://GOOD.example:443/%70hotos/x%2e.jpg",
        "https://user:password@good.example/photos/x.jpg#top",
        "https://good.example/photos/a..b/...jpg",
        "http://127.0.0.1:8080",
        "s3://bucket/a/x%20..y.jpg",
        "S3://bucket/a/x.jpg",
    ],
)
def test_what_a_prefix_names(uri: str) -> None:
    assert allows(WEB, uri)


@pytest.mark.parametrize(
    "uri",
    [
        "https://good.example.evil.example/photos/x.jpg",
        "https://good.example@evil.example/photos/x.jpg",
        "https://good.example\\@evil.example/photos/x.jpg",
        "https://evil.example/https://good.example/photos/x.jpg",
        "https://good.example:8443/photos/x.jpg",
        "http://good.example/photos/x.jpg",
        "https://good.example/photos2/x.jpg",
        "https://good.example/photos%2Fx.jpg",
        "https://good.example/photos/../secret",
        "https://good.example/photos/%2e%2E/secret",
        "https://good.example/photos/%252e%252e%252fsecret",
        "https://good.example/photos/..;/secret",
        "https://good.example/photos/x\\..\\..\\secret",
        "http://127.0.0.1/x.jpg",
        "http://localhost:8080/x.jpg",
        "http:///x.jpg",
        "s3://bucket/ab/x.jpg",
        "s3://bucket/a/../b/x.jpg",
        "s3://bucket2/a/x.jpg",
        "s3a://bucket/a/x.jpg",
        "gs://bucket/a/x.jpg",
    ],
)
def test_what_no_prefix_names(uri: str) -> None:
    assert not allows(WEB, uri)


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("images.example", True),
        ("93.184.216.34", True),
        ("10.0.0.1", True),  # listed explicitly
        ("10.0.0.2", False),
        ("127.0.0.1", False),
        ("localhost", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("[::1]", False),
        ("[fe80::1]", False),
        ("[::ffff:127.0.0.1]", False),
        ("[64:ff9b::a9fe:a9fe]", False),
        ("[2002:7f00:1::]", False),
        ("[2606:4700::1111]", True),
    ],
)
def test_any_host_of_a_scheme_but_no_private_address(host: str, *, is_allowed: bool) -> None:
    assert allows(PUBLIC, f"https://{host}/x.jpg") == is_allowed
    assert not allows(PUBLIC, f"http://{host}/x.jpg")


def test_local_files_count_as_what_they_are_once_links_are_resolved(tmp_path: Path) -> None:
    folder, outside = tmp_path / "images", tmp_path / "images2"
    for place in (folder, outside):
        place.mkdir()
        (place / "a b.jpg").write_bytes(b"image")
    (tmp_path / "link").symlink_to(folder)
    (folder / "out").symlink_to(outside)
    (folder / "out.jpg").symlink_to(outside / "a b.jpg")
    (folder / "nowhere.jpg").symlink_to(outside / "missing.jpg")
    storage = pickle.loads(pickle.dumps(Storage(allow=Allowlist.parse([f"file://{tmp_path}/link/"]))))  # noqa: S301
    for uri in (f"{folder}/a b.jpg", f"{tmp_path}/link/a b.jpg", f"FILE://{folder}/%61%20b.jpg"):
        assert storage.read(uri) == b"image"
    with pytest.raises(FileNotFoundError):
        storage.read(f"{folder}/missing.jpg")
    forbidden = [
        f"{outside}/a b.jpg",
        f"{outside}/missing.jpg",
        f"{folder}/../images2/a b.jpg",
        f"file://{folder}/%2e%2e/images2/a%20b.jpg",
        f"{folder}/out/a b.jpg",
        f"{folder}/out.jpg",
        f"{folder}/nowhere.jpg",
        "s3://bucket/x.jpg",
        "http://127.0.0.1:1/x.jpg",
    ]
    said = set()
    for uri in forbidden:
        for access in (storage.read, storage.describe, storage.open):
            with pytest.raises(NotAllowedError) as caught:
                access(uri)
            error = read_error(caught.value)
            said.add((error.kind, error.message))
    assert said == {("not_allowed", "dataset.allow does not name it")}  # whether or not it exists
    assert storage.unrestricted().read(f"{outside}/a b.jpg") == b"image"


@pytest.mark.parametrize("prefix", ["", "https://host/x?y", "https://host/../x", "s3://", "https://host:x/"])
def test_a_prefix_that_names_nothing(prefix: str) -> None:
    with pytest.raises(JobError, match=r"dataset\.allow"):
        Allowlist.parse([prefix])
