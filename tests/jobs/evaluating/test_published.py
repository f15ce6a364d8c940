from __future__ import annotations

from pathlib import Path

import pytest
from scored import Scored
from scored_runs import STORAGE, publish_rows

from actors.errors import JobError
from actors.tasks.accuracy import NUM_LABELLED
from actors.tasks.classify import Classify
from jobs.evaluating.published import read_published


def test_counters_are_those_of_the_parts_that_the_manifest_names(tmp_path: Path) -> None:
    batches = [rows for rows in Scored.random(60, 3).batches() if len(rows)]
    paths = publish_rows(tmp_path, Classify(), batches, labels=["a", r"\${b}", "c"])
    run = read_published(str(tmp_path), "r", STORAGE)
    assert (run.num_ok, run.num_errors, len(run.parts)) == (60, 1, len(batches))
    assert run.counters[NUM_LABELLED] == 60
    assert run.labels == ["a", "${b}", "c"]
    late = Path(run.parts[0])
    late.rename(late.with_name(late.name.replace("part-0", "part-9")))
    with pytest.raises(JobError, match="1 of its parts are missing or damaged"):
        read_published(str(tmp_path), "r", STORAGE)
    Path(paths.success).unlink()
    with pytest.raises(JobError, match=r"evaluate.run=r: that run is not published"):
        read_published(str(tmp_path), "r", STORAGE)
    with pytest.raises(JobError, match=r"evaluate.run=x: no such run below"):
        read_published(str(tmp_path), "x", STORAGE)


def test_a_file_of_labels_that_is_gone(tmp_path: Path) -> None:
    publish_rows(tmp_path, Classify(), [Scored.random(5, 3).rows], labels=str(tmp_path / "gone.txt"))
    assert read_published(str(tmp_path), "r", STORAGE).labels is None
