from __future__ import annotations

from pathlib import Path

import pytest

from actors.uris import absolute, is_remote, join, local_path, name_below, split


def test_paths_are_taken_as_they_are_written() -> None:
    assert local_path("/a b#?%20.jpg") == b"/a b#?%20.jpg"
    assert local_path("file:///a%20b%ff#1?.jpg") == b"/a b\xff#1?.jpg"
    assert [is_remote(uri) for uri in ("/x", "x/y", "file:///x", "s3://b/x", "https://h/x")] == [False] * 3 + [True] * 2
    assert absolute("x/../y") == str(Path.cwd() / "y")
    assert absolute("s3://b/x/../y") == "s3://b/x/../y"
    assert join("/", "x") == "/x"
    assert join("s3://b/p/", "x", "y") == "s3://b/p/x/y"


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home-of-someone")
    assert absolute("~/x") == "/home-of-someone/x"
    assert absolute("~x") == str(Path.cwd() / "~x")


@pytest.mark.parametrize(
    ("uri", "root", "key"),
    [
        ("s3://b/a b#?%20.jpg", "s3://b", "a b#?%20.jpg"),
        ("s3://b", "s3://b", ""),
        ("S3://Bucket/Key", "s3://Bucket", "Key"),
    ],
)
def test_what_serves_a_uri_and_what_it_is_called_there(uri: str, root: str, key: str) -> None:
    assert split(uri) == (root, key)


@pytest.mark.parametrize(
    ("base", "uri"),
    [
        ("s3://bucket/out", "s3://bucket/out/rows/x y%20.parquet"),
        ("/data/out", "/data/out/rows/x y%20.parquet"),
        ("file:///data/o%20ut", "/data/o ut/rows/x y%20.parquet"),
        ("/data/out", "file:///data/out/rows/x%20y%2520.parquet"),
        ("/", "/rows/x y%20.parquet"),
    ],
)
def test_names_below_a_folder_however_they_are_written(base: str, uri: str) -> None:
    assert name_below(base, uri) == "rows/x y%20.parquet"
