from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from detected import DetectedRun, EmbeddedRun
from places import Place, local_place

from actors.errors import JobError
from actors.outputs import Output, open_output


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """Returns an output of two runs: in the older run a, image b fails; run b predicts d again and x, and f fails."""
    return put(local_place(tmp_path))


def put(place: Place) -> Output:
    EmbeddedRun("a", opened_at="2026-01-01").put(place)
    EmbeddedRun("b", names=[["d", "x"], ["f"]], bad=[(1, 0)], cut=[2], opened_at="2026-02-01").put(place)
    return open_output(place.root, place.options)


def names(rows: pa.Table) -> list[str]:
    return [Path(image_id).stem for image_id in rows["image_id"].to_pylist()]


def test_views_of_rows_and_errors(place: Place) -> None:
    output = put(place)
    newest = output.newest().to_arrow()
    assert (names(newest), newest["run"].to_pylist()) == (list("dxacefgh"), ["b"] * 2 + ["a"] * 6)
    assert names(output.rows().to_arrow()) == list("dxacdefgh")
    assert names(output.rows(run="a").to_arrow()) == list("acdefgh")
    errors = output.errors().to_arrow(["image_id", "run", "error"])
    assert (names(errors), errors["run"].to_pylist()) == (["f", "b"], ["b", "a"])
    assert errors.column_names == ["image_id", "run", "error"]


def test_errors_that_a_later_run_retried_are_left_out(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    run = DetectedRun("a")
    run.edit("manifest.json", lambda content: content.update(redriven_by="b"))
    run.put(place)
    errors = open_output(place.root).errors().to_arrow()
    assert (len(errors), errors.column_names[:2], errors.column_names[-1]) == (0, ["image_id", "uri"], "run")


def test_columns_and_filters(output: Output) -> None:
    rows = output.newest().to_arrow(["run"], [("weight", ">=", 0), ("image_id", "!=", "/data/x.jpg")])
    assert rows.to_pydict() == {"run": ["b", *"aaaaaa"]}
    with pytest.raises(JobError, match="there is no column scor") as caught:
        output.newest().to_arrow(["scor"])
    assert "embedding" in caught.value.fix
    with pytest.raises(JobError, match="there is no column scor"):
        output.newest().to_arrow(None, [("scor", ">", 1)])


def test_frames_and_tables(output: Output) -> None:
    frame = output.newest().to_pandas(["image_id", "run"])
    assert list(frame["run"]) == ["b", "b", *"aaaaaa"]
    reader = output.newest().reader(["run"], [("run", "=", "b")])
    assert reader.read_all().to_pydict() == {"run": ["b", "b"]}
    database = duckdb.connect()
    found = output.newest().to_duckdb(connection=database, table="newest")
    assert found.aggregate("run, count(*) AS n").order("run").fetchall() == [("a", 6), ("b", 2)]
    assert database.execute("SELECT len(embedding) FROM newest LIMIT 1").fetchall() == [(128,)]


def test_polars(output: Output) -> None:
    pytest.importorskip("polars")
    assert output.newest().to_polars(["run"])["run"].to_list() == ["b", "b", *"aaaaaa"]


def test_hugging_face(output: Output) -> None:
    pytest.importorskip("datasets")
    found = output.newest().to_hugging_face(["image_id", "embedding"])
    assert (len(found), len(found[7]["embedding"])) == (8, 128)


def test_a_missing_package_has_its_fix(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(JobError, match="the package polars is not installed") as caught:
        output.newest().to_polars()
    assert caught.value.fix == "pip install polars"


def test_batches_stay_small_and_what_they_hold_of_disk_is_freed(output: Output, tmp_path: Path) -> None:
    batches = output.newest().batches()
    assert len(next(iter(batches))) <= 8
    batches.close()  # type: ignore[attr-defined]
    assert not list(tmp_path.rglob("keys.duckdb"))


def test_reading_an_output_needs_no_torch_ray_or_hydra(output: Output) -> None:
    code = (
        f"import sys; from actors.outputs import open_output; open_output({output.root!r}).newest().to_torch(); "
        "print({'ray', 'torch', 'hydra', 'omegaconf', 'jobs'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr


def test_vectors_of_one_length_are_arrays(output: Output) -> None:
    row = output.newest().to_torch(["embedding"])[0]
    assert (row["embedding"].dtype, row["embedding"].shape) == (np.float32, (128,))
