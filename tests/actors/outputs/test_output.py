from __future__ import annotations

from pathlib import Path

import pytest
from detected import DetectedRun, renamed
from places import Place, local_place

from actors.errors import JobError
from actors.outputs import open_output


def unfinished(run_id: str) -> DetectedRun:
    run = DetectedRun(run_id)
    del run.files[f"runs/{run_id}/_SUCCESS"]
    return run


def test_the_runs_are_the_published_ones_from_the_newest(place: Place) -> None:
    DetectedRun("z", opened_at="2026-01-02").put(place)
    DetectedRun("a", opened_at="2026-03-02").put(place)
    unfinished("b").put(place)
    output = open_output(place.root, place.options)
    newest, oldest = output.runs()
    assert (newest.run_id, oldest.run_id) == ("a", "z")  # by time, not by name
    assert (newest.num_ok, newest.num_error_rows, newest.dataset_paths) == (7, 1, ["/data"])
    named = output.run("z")
    assert [part.removeprefix(f"{place.root}/") for part in named.rows] == DetectedRun("z").of("rows")


def test_a_run_that_is_committed_later_is_newer(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    resumed = DetectedRun("a", opened_at="2026-01-02")
    resumed.edit("manifest.json", lambda content: content.update(committed_at="2026-09-02T03:04:05.678+00:00"))
    resumed.put(place)
    DetectedRun("b", opened_at="2026-03-02").put(place)
    assert [run.run_id for run in open_output(place.root).runs()] == ["a", "b"]


def test_error_rows_that_moved_to_another_run_are_not_counted_twice(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    run = DetectedRun("a")
    run.edit("manifest.json", lambda content: content.update(redriven_by="b"))
    run.put(place)
    (moved,) = open_output(place.root).runs()
    assert (moved.num_errors, moved.num_error_rows, moved.errors, moved.redriven_by) == (1, 0, [], "b")


def test_several_models_are_listed(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    for run in (DetectedRun("a"), DetectedRun("b"), renamed(DetectedRun("c"), "mfedcba987654321")):
        run.put(place)
    with pytest.raises(JobError, match=r"the rows of 2 models: .*m0123456789abcde \(2 runs\)") as caught:
        open_output(place.root).runs_of_one_model(key="convert.model")
    assert "mfedcba987654321 (1 run)" in caught.value.problem
    assert "convert.model=" in caught.value.fix
    assert [run.run_id for run in open_output(place.root).runs_of_one_model("mfedcba987654321")] == ["c"]
    assert {run.run_id for run in open_output(place.root).runs()} == {"a", "b", "c"}
    with pytest.raises(JobError, match=r"convert\.model=mnone: no published run has that model"):
        open_output(place.root).runs_of_one_model("mnone", key="convert.model")


def test_what_is_not_published_is_refused(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    with pytest.raises(JobError, match="there are no runs below it"):
        open_output(place.root).runs()
    unfinished("a").put(place)
    with pytest.raises(JobError, match="none of its 1 runs is published"):
        open_output(place.root).runs()
    DetectedRun("b").put(place)
    with pytest.raises(JobError, match=r"convert\.run=a: that run is not published") as caught:
        open_output(place.root).run("a", key="convert.run")
    assert caught.value.fix == "the latest published runs are b"
    with pytest.raises(JobError, match=r"convert\.run=c: there is no such run below"):
        open_output(place.root).run("c", key="convert.run")


def test_a_manifest_leads_out_of_no_folder(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    run = DetectedRun("a")
    run.edit("manifest.json", lambda content: content["rows"][0].update(file="../../../secret.parquet"))
    run.put(place)
    with pytest.raises(JobError, match="is no name of a part") as caught:
        open_output(place.root).runs()
    assert "jobs.verify" in caught.value.fix


def test_damaged_documents_are_named(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    run = DetectedRun("a")
    run.files["runs/a/config.yaml"] = b"dataset: [}"
    run.put(place)
    with pytest.raises(JobError, match=r"its documents are damaged: config\.yaml"):
        open_output(place.root).runs()
    run.files["runs/a/manifest.json"] = b"{"
    run.put(place)
    with pytest.raises(JobError, match="its documents are damaged"):
        open_output(place.root).runs()


def test_a_bucket_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(JobError, match=r"output\.path=.*cannot be read|there are no runs below it"):
        open_output(str(tmp_path / "file")).runs()
