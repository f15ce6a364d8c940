from __future__ import annotations

from pathlib import Path

import pytest
from scored import Scored
from scored_runs import publish_rows

from actors.errors import JobError
from actors.outputs import open_output
from actors.tasks.accuracy import NUM_LABELLED
from actors.tasks.classify import Classify


def test_counters_are_those_of_the_parts_that_the_manifest_names(tmp_path: Path) -> None:
    batches = [rows for rows in Scored.random(60, 3).batches() if len(rows)]
    paths = publish_rows(tmp_path, Classify(), batches, labels=["a", r"\${b}", "c"])
    run = open_output(str(tmp_path)).run("r")
    assert (run.num_ok, run.num_errors, len(run.rows), len(run.errors)) == (60, 1, len(batches), 1)
    assert all("ranges" not in part for part in run.manifest["rows"])
    assert run.committed_at > run.record.opened_at
    assert run.counters[NUM_LABELLED] == 60
    assert run.labels == ["a", "${b}", "c"]
    late = Path(run.rows[0])
    late.rename(late.with_name(late.name.replace("part-0", "part-9")))
    with pytest.raises(JobError, match="1 of its parts are missing or damaged"):
        assert open_output(str(tmp_path)).run("r").counters
    Path(paths.success).unlink()
    with pytest.raises(JobError, match=r"evaluate.run=r: that run is not published"):
        open_output(str(tmp_path)).run("r", key="evaluate.run")


def test_rows_and_errors_come_in_tables_with_the_columns_that_are_there(tmp_path: Path) -> None:
    publish_rows(tmp_path, Classify(), [Scored.random(5, 3).rows, Scored.random(7, 3).rows])
    run = open_output(str(tmp_path)).run("r")
    tables = list(run.read(["label", "no such column"]))
    assert [(len(table), table.column_names) for table in tables] == [(5, ["label"]), (7, ["label"])]
    (errors,) = run.read_errors()
    assert errors.column_names == ["image_id", "uri", "stage", "error", "message"]


def test_a_file_of_labels_that_is_gone(tmp_path: Path) -> None:
    publish_rows(tmp_path, Classify(), [Scored.random(5, 3).rows], labels=str(tmp_path / "gone.txt"))
    assert open_output(str(tmp_path)).run("r").labels is None
