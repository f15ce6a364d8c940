from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from detected import DetectedRun
from places import Place, local_place

from actors.errors import JobError
from actors.outputs import PublishedRun, open_output, row_batches
from actors.outputs.row_batches import ahead, read_batches, read_schema
from actors.storage.store import Storage

STORAGE = Storage()


def runs_at(place: Place) -> Sequence[PublishedRun]:
    return open_output(place.root).runs()


def test_a_column_that_only_one_run_has_is_null_in_the_others(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    DetectedRun("a").put(place)
    newer = DetectedRun("b", opened_at="2026-05-05")
    for name in newer.of("rows"):
        table = newer.table(name)
        newer.rewrite(name, table.append_column("camera", pa.array(["x"] * len(table))))
    newer.put(place)
    runs = runs_at(place)
    schema = read_schema(runs, STORAGE)
    assert schema.names[-1] == "camera"
    tables = list(read_batches([part for run in runs for part in run.rows], STORAGE, schema))
    assert pa.concat_tables(tables)["camera"].to_pylist() == ["x"] * 7 + [None] * 7


def test_columns_that_do_not_agree_are_refused(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    DetectedRun("a").put(place)
    other = DetectedRun("b")
    for name in other.of("rows"):
        table = other.table(name)
        weights = table.schema.get_field_index("weight")
        other.rewrite(name, table.set_column(weights, "weight", pa.array(["x"] * len(table))))
    other.put(place)
    with pytest.raises(JobError, match=r"the columns of runs .* do not agree") as caught:
        read_schema(runs_at(place), STORAGE)
    assert "convert.run=" in caught.value.fix


def test_a_run_without_rows_is_named(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    DetectedRun("a", names=[["x", "y"]], bad=[(0, 0), (0, 1)], cut=[1]).put(place)
    with pytest.raises(JobError, match="a: no rows; 2 images failed"):
        read_schema(runs_at(place), STORAGE)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    run = DetectedRun("a")
    run.put(place)
    (run_there,) = runs_at(place)
    schema = read_schema([run_there], STORAGE)
    Path(run_there.rows[1]).write_bytes(b"PAR1 no")
    with pytest.raises(JobError, match=r"part-.*cannot be read") as caught:
        list(read_batches(run_there.rows, STORAGE, schema))
    assert "jobs.verify" in caught.value.fix
    Path(run_there.rows[1]).unlink()
    with pytest.raises(JobError, match="cannot be read"):
        list(read_batches(run_there.rows, STORAGE, schema))


def test_batches_of_large_rows_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_batches, "_BATCH_BYTES", 100_000)
    masks = [np.random.default_rng(row).bytes(30_000) for row in range(20)]
    pq.write_table(pa.table({"mask": pa.array(masks, pa.binary())}), tmp_path / "large.parquet")
    tables = list(read_batches([str(tmp_path / "large.parquet")], STORAGE, pa.schema([("mask", pa.binary())])))
    assert {len(table) for table in tables} <= {2, 3}
    assert [value for table in tables for value in table["mask"].to_pylist()] == masks


def test_the_next_item_is_made_meanwhile() -> None:
    is_second_made = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        is_second_made.set()
        yield 2

    found = ahead(items())
    assert next(found) == 1
    assert is_second_made.wait(10)
    assert list(found) == [2]


def test_an_error_while_reading_ahead_arrives() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("late")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="late"):
        next(found)
