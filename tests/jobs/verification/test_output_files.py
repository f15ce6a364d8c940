from __future__ import annotations

import os
from pathlib import Path

import pytest
from places import NAMES, Place

from actors.storage.store import Storage
from jobs.verification.output_files import Output, list_output


def listed(place: Place, *names: str) -> Output:
    for name in names:
        place.put(name, b"12345")
    return list_output(place.root, Storage(place.options))


def test_files_by_run(place: Place) -> None:
    names = ["runs/a/run.json", "runs/a/inventory/x.parquet", "rows/model=m/run=a/p.parquet", "runs/b/_SUCCESS"]
    output = listed(place, *names, "rows/model=n/run=a/.p.tmp", "_lease/00000001.json", "mine.txt", "runs/note.txt")
    assert {run: set(files) for run, files in output.runs.items()} == {"a": set(names[:2]), "b": {names[3]}}
    assert set(output.parts["a"]) == {"rows/model=m/run=a/p.parquet", "rows/model=n/run=a/.p.tmp"}
    assert output.strangers == []
    assert output.read("runs/a/run.json") == b"12345"
    assert output.runs["a"]["runs/a/run.json"] == 5


def test_files_of_no_run(place: Place) -> None:
    strangers = [
        "rows/x.parquet",
        "rows/model=m/x.parquet",
        "rows/model=m/run=gone/x.parquet",
        "rows/model=m/run=a/below/x.parquet",
        "rows/m/run=a/x.parquet",
        "errors/run=a/model=m/x.parquet",
    ]
    output = listed(place, "runs/a/run.json", *strangers)
    assert list(output.strangers) == sorted(strangers)
    assert output.parts == {}


def test_names_of_all_kinds(place: Place) -> None:
    names = [f"rows/model=m/run=a/{name.replace('/', '-')}" for name in NAMES]
    output = listed(place, "runs/a/run.json", *names)
    assert set(output.parts["a"]) == set(names)
    assert output.strangers == []


def test_nothing_there(place: Place) -> None:
    output = listed(place)
    assert (output.runs, output.parts, output.strangers) == ({}, {}, [])


def test_other_ways_to_write_a_local_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b/runs/a").mkdir(parents=True)
    (tmp_path / "a b/runs/a/run.json").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    for path in ("a b", "./a b/", f"{tmp_path}/a b", f"file://{tmp_path}/a%20b"):
        output = list_output(path, Storage())
        assert list(output.runs["a"]) == ["runs/a/run.json"]
        assert output.read("runs/a/run.json") == b""


def test_a_name_that_is_no_text_is_a_stranger(tmp_path: Path) -> None:
    folder = tmp_path / "rows/model=m/run=a"
    folder.mkdir(parents=True)
    (tmp_path / "runs/a").mkdir(parents=True)
    (tmp_path / "runs/a/run.json").touch()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.parquet")).touch()
    (name,) = list_output(str(tmp_path), Storage()).strangers
    assert name.endswith("/rows/model%3Dm/run%3Da/%FF.parquet")
