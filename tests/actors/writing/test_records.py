from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from places import Place, local_place

from actors.storage.store import Storage
from actors.writing.records import Identity, Record, read_records, write_record
from actors.writing.run_paths import RunPaths

SAME = Identity("mabc", "d", "incremental")
RECORD = Record(
    run_id="r1",
    identity=SAME,
    columns_digest="c",
    opened_at="2026-11-21T01:02:03.004+00:00",
    num_listed=5,
    num_shards=3,
    inventory_digest="ab" * 32,
    redrives=["r0"],
    passed_over={"hidden": {"count": 1, "examples": ["/in/.a.jpg"]}},
)


def test_records_come_back_the_latest_first_and_say_what_is_published(place: Place) -> None:
    storage = Storage(place.options)
    later = replace(RECORD, run_id="a-later-one", opened_at="2026-11-21T01:02:03.005+00:00")
    for record in (RECORD, later):
        write_record(record, RunPaths(place.root, "mabc", record.run_id), storage, {"version_x": "1"})
    place.put("runs/r1/_SUCCESS", b"x")
    place.put("runs/listing-was-broken-off/inventory/inventory-00000.parquet", b"x")
    assert read_records(place.root, storage) == [later, RECORD.published()]


def test_a_record_from_before_passed_over_was_counted() -> None:
    content = RECORD.to_json()
    del content["passed_over"]
    assert Record.from_json(content, is_published=False) == replace(RECORD, passed_over={})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 200_000,
        b"\xff",
        b"{}",
        json.dumps(RECORD.to_json() | {"redrives": ["../../elsewhere"]}).encode(),
        json.dumps(RECORD.to_json() | {"fingerprint": "../mabc"}).encode(),
        json.dumps(RECORD.to_json() | {"num_listed": "5"}).encode(),
        json.dumps(RECORD.to_json() | {"run_id": "r2"}).encode(),
    ],
)
def test_a_damaged_record_is_told_of_and_stops_nobody(
    data: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = local_place(tmp_path)
    write_record(RECORD, RunPaths(place.root, "mabc", "r1"), Storage(), {})
    place.put("runs/r9/run.json", data)
    assert read_records(place.root, Storage()) == [RECORD]
    assert "ignoring run r9" in caplog.text


def test_a_record_of_any_size_or_kind_stops_nobody(tmp_path: Path) -> None:
    write_record(RECORD, RunPaths(str(tmp_path), "mabc", "r1"), Storage(), {})
    for run_id in ("r7", "r8", "r9"):
        (tmp_path / "runs" / run_id).mkdir()
    with (tmp_path / "runs/r7/run.json").open("wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(tmp_path / "runs/r8/run.json")
    (tmp_path / "runs/r9/run.json").mkdir()
    assert read_records(str(tmp_path), Storage()) == [RECORD]


def test_an_output_without_runs(place: Place) -> None:
    assert read_records(place.root, Storage(place.options)) == []


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (SAME, None),
        (replace(SAME, fingerprint="x", mode="full"), "model, pre-processing or task"),
        (replace(SAME, dataset_digest="x"), "dataset"),
        (replace(SAME, mode="full"), "mode"),
    ],
)
def test_what_is_another_is_said(other: Identity, difference: str | None) -> None:
    assert SAME.difference(other) == difference
