from __future__ import annotations

from pathlib import Path

import pytest
from detected import DetectedRun, renamed
from places import Place, local_place

from actors.errors import JobError
from actors.outputs import open_output
from jobs.runs.overview import overviews


def states(place: Place) -> list[tuple[str, str]]:
    return [(one.run_id, one.state) for one in overviews(open_output(place.root, place.options))]


def test_each_run_has_its_state_and_the_last_committed_is_first(place: Place) -> None:
    DetectedRun("z", opened_at="2026-01-01").put(place)
    DetectedRun("full", opened_at="2026-01-02").put(place)
    later = DetectedRun("a", opened_at="2026-01-03", mode="incremental")
    later.edit("manifest.json", lambda content: content.update(redriven_by="b"))
    later.put(place)
    renamed(DetectedRun("other", opened_at="2026-01-01T00"), "mfedcba987654321").put(place)
    unfinished = DetectedRun("open", opened_at="2026-01-04")
    del unfinished.files["runs/open/_SUCCESS"], unfinished.files["runs/open/report.json"]
    unfinished.put(place)
    assert states(place) == [
        ("open", "open"), ("a", "redriven"), ("full", "published"), ("z", "superseded"), ("other", "published")
    ]  # fmt: skip
    newest, *_ = overviews(open_output(place.root, place.options))
    assert (newest.num_listed, newest.num_ok, newest.committed_at, newest.dataset) == (8, None, None, "images: /data")


def test_a_damaged_run_is_listed_as_such(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    run = DetectedRun("a")
    run.files["runs/a/manifest.json"] = b"{"
    run.files["runs/a/config.yaml"] = b"[}"
    run.put(place)
    assert states(place) == [("a", "damaged")]


def test_an_output_without_runs(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="there are no runs below it"):
        states(local_place(tmp_path))
