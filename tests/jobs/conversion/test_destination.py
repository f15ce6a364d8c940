from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from converted import content
from places import Place, local_place
from s3 import S3

from actors.errors import JobError
from actors.storage.store import Storage
from jobs.conversion.destination import RECORD, check_destination, destination


def make(place: Place, name: str, texts: dict[str, str], **record: Any) -> None:
    with destination(f"{place.root}/{name}", Storage(place.options), record) as files:
        for file, text in texts.items():
            with files.open(file) as sink:
                sink.write(text.encode())


def test_the_files_and_their_record(place: Place) -> None:
    record: dict[str, Any] = {"format": "csv"}
    with destination(f"{place.root}/new/out", Storage(place.options), record) as files:
        with files.open("large.csv") as sink:
            sink.write(b"x" * 3_000_000)
        files.open("empty.csv").close()
        assert files.put_all([(["a/b.txt"], b"1"), (["c.txt"], b"2")]) == ["a/b.txt", "c.txt"]
        record["counts"] = 2
    found = content(place, f"{place.root}/new/out")
    assert sorted(found) == ["a/b.txt", "c.txt", RECORD, "empty.csv", "large.csv"]
    assert (len(found["large.csv"]), found["empty.csv"], found["a/b.txt"]) == (3_000_000, b"", b"1")
    assert json.loads(found[RECORD]) == {"status": "done", "format": "csv", "counts": 2}


def test_a_name_that_is_taken_gives_way_to_the_next(place: Place) -> None:
    with destination(f"{place.root}/out", Storage(place.options), {}) as files:
        first = files.put_all([(["a.txt"], b"1")])
        second = files.put_all([(["a.txt", "a.png.txt"], b"2")])
    assert (first, second) == (["a.txt"], ["a.png.txt"])
    assert content(place, f"{place.root}/out")["a.txt"] == b"1"


def test_a_folder_may_have_the_name_of_a_file(tmp_path: Path) -> None:
    with destination(str(tmp_path / "out"), Storage(), {}) as files:
        names = files.put_all([(["a.txt"], b"1"), (["a.txt/b.txt", "b.txt"], b"2"), (["c/d/e.txt"], b"3")])
        names += files.put_all([(["c/d", "c~d"], b"4"), (["c/d/e.txt/f/g.txt", "g.txt"], b"5")])
    assert names == ["a.txt", "b.txt", "c/d/e.txt", "c~d", "g.txt"]


def test_nothing_appears_until_all_is_written(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    with pytest.raises(UnicodeEncodeError):
        make(place, "out", {"a.csv": "1", "b.csv": "\ud800"})
    assert list(tmp_path.iterdir()) == []
    make(place, "out", {"a.csv": "1"})
    with pytest.raises(UnicodeEncodeError):
        make(place, "out", {"a.csv": "2", "b.csv": "\ud800"})
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a.csv").read_text() == "1"


def test_an_unfinished_conversion_in_an_object_store_says_so(s3: S3) -> None:
    storage, uri = Storage(s3.options), f"s3://{s3.bucket}/unfinished"
    with suppress(RuntimeError), destination(uri, storage, {"format": "yolo"}) as files:
        files.put_all([(["a.txt"], b"1")])
        raise RuntimeError
    assert json.loads(storage.read(f"{uri}/{RECORD}"))["status"] == "unfinished"
    check_destination(uri, storage, "s3://bucket/rows-elsewhere", overwrite=True)
    with destination(uri, storage, {}) as files:
        files.put_all([(["b.txt"], b"1")])
    assert sorted(content(Place(uri, s3.options), uri)) == ["b.txt", RECORD]


def test_only_an_earlier_conversion_is_replaced(place: Place) -> None:
    storage, output = Storage(place.options), f"{place.root}/output"
    check_destination(f"{place.root}/out", storage, output, overwrite=False)
    make(place, "out", {"old.csv": "1"})
    with pytest.raises(JobError, match="holds an earlier conversion") as caught:
        check_destination(f"{place.root}/out", storage, output, overwrite=False)
    assert "convert.overwrite=true" in caught.value.fix
    check_destination(f"{place.root}/out", storage, output, overwrite=True)
    make(place, "out", {"new.csv": "2"})
    assert sorted(content(place, f"{place.root}/out")) == [RECORD, "new.csv"]
    place.put("photos/a.jpg", b"x")
    with pytest.raises(JobError, match="contains files other than a conversion"):
        check_destination(f"{place.root}/photos", storage, output, overwrite=True)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("output/rows/x", "lies among the rows of output.path"),
        ("output/runs", "lies among the rows of output.path"),
        ("predictions.csv", "the name of a file"),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused(path: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=problem):
        check_destination(str(tmp_path / path), Storage(), str(tmp_path / "output"), overwrite=True)
    check_destination(str(tmp_path / "output" / "coco"), Storage(), str(tmp_path / "output"), overwrite=False)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, s3: S3) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(JobError, match=r"convert\.path=.*cannot be written"):
        make(local_place(tmp_path), "file/out", {})
    with pytest.raises(JobError, match=r"convert\.path=s3://nowhere/out: cannot be"):
        make(Place("s3://nowhere", s3.options), "out", {})
    with pytest.raises(JobError, match="a web server has no folders"):
        make(Place("https://example.org", {}), "out", {})
