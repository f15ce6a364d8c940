from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from places import NAMES

from jobs.conversion.names import Names, file_names, safe_path


@pytest.mark.parametrize(
    ("base", "image_id", "name"),
    [
        ("/data/photos", "/data/photos/a/b.jpg", "a/b.jpg"),
        ("/data/photos/", "/data/photos/b.jpg", "b.jpg"),
        ("/data/photos", "/data/photos2/b.jpg", "data/photos2/b.jpg"),
        ("/data/*/x.jpg", "/data/a/x.jpg", "a/x.jpg"),
        ("s3://bucket/photos", "s3://bucket/photos/a.jpg", "a.jpg"),
        ("s3://bucket/photos", "s3://other/a.jpg", "other/a.jpg"),
        ("s3://bucket/p/{a,b}/*.jpg", "s3://bucket/p/a/1.jpg", "a/1.jpg"),
        ("file:///data/photos", "/data/photos/b.jpg", "b.jpg"),
        ("list.csv", "https://example.org/a.jpg", "example.org/a.jpg"),
        ("/data/list.csv", "42", "42"),
        ("/data/photos", "/data/photos", "data/photos"),
        ("*", "a.jpg", "a.jpg"),
        ("/data", "/", "/"),
    ],
)
def test_names_are_relative_to_the_dataset(base: str, image_id: str, name: str) -> None:
    assert Names([base])(image_id) == name


def test_a_relative_path_is_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Names(["other", "photos"])(str(tmp_path / "photos" / "a.jpg")) == "a.jpg"


HOSTILE = [
    "../../x.jpg", "/etc/passwd", "a/../../b.jpg", "./a.jpg", "..", ".", "", "/", "...", "a//b.jpg", "a\\..\\b.jpg",
    "C:/x.jpg", "nul\x00.jpg", "new\nline.jpg", "x" * 300 + ".jpg", "é" * 200 + ".jpg", ".jpg", "a/.hidden", "~/x",
]  # fmt: skip


@pytest.mark.parametrize("name", [*HOSTILE, *NAMES])
def test_no_path_leads_out_of_its_folder(name: str, tmp_path: Path) -> None:
    for candidate in (safe_path(name), *file_names(name, ".txt")):
        path = PurePosixPath(candidate)
        assert not path.is_absolute()
        assert candidate
        assert ".." not in path.parts
        assert "\\" not in candidate
        target = tmp_path / "out" / candidate
        assert target.resolve().is_relative_to(tmp_path / "out")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"")  # the file system accepts the name


@pytest.mark.parametrize("name", [name for name in NAMES if "\\" not in name])
def test_ordinary_names_stay(name: str) -> None:
    assert safe_path(name) == name
    assert next(file_names(name, ".txt")) == name.removesuffix(".jpg") + ".txt"


def test_names_that_differ_in_their_suffix_get_files_of_their_own() -> None:
    assert list(file_names("a/b.jpg", ".txt"))[:2] == ["a/b.txt", "a/b.jpg.txt"]
    assert len({list(file_names(name, ".txt"))[-1] for name in ("a:b", "a%3Ab", "a//b", "a/b")}) == 4
    assert safe_path("x" * 300 + "1.jpg") != safe_path("x" * 300 + "2.jpg")
