from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from actors.storage.uris import (
    absolute,
    is_remote,
    join,
    local_path,
    name_below,
    redacted,
    resolve,
    split,
    text_without_users,
    without_users,
)


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
    assert absolute("~") == "/home-of-someone"
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


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://u:SECRET@h:8080/x@2x.jpg?y=a@b", "https://h:8080/x@2x.jpg?y=a@b"),
        ("HTTP://SECRET@[::1]:80/a@b", "HTTP://[::1]:80/a@b"),
        ("https://u:SE/CRET#@h/x.jpg", "https://h/x.jpg"),
        ("https://u:p@SECRET@h", "https://h"),
        ("ftp://u:SECRET@h/x.jpg", "ftp://h/x.jpg"),
        ("s3://u:SECRET@bucket/x.jpg", "s3://bucket/x.jpg"),
    ],
)
def test_users_and_passwords_are_not_shown(uri: str, shown: str) -> None:
    assert without_users(pa.chunked_array([["/x", uri, None]])).to_pylist() == ["/x", shown, None]
    assert text_without_users(f"path: {uri}\nb: [{uri}]") == f"path: {shown}\nb: [{shown}]"
    assert "SECRET" not in redacted(f"cannot read {uri}, nor '{uri}'")


def test_what_names_no_user_stays() -> None:
    uris = [
        "/data/u:p@h.jpg",
        "az://container@account/x.jpg",
        "https://h:8080/@u/x.jpg",
        "http://[::1]:80/a@2x.jpg",
        "https://h?x=y@z",
        "s3://arn:aws:s3:::accesspoint/x@2x.jpg",
    ]
    assert without_users(pa.chunked_array([uris])).to_pylist() == uris


def test_hostile_texts_are_redacted_in_a_moment() -> None:
    for text in ("a" * 200_000, "http://a:b" * 20_000, "https://" * 20_000):
        assert "…@" not in redacted(text)


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
    assert resolve(file, name) == expected
