from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from detected import DetectedRun
from places import Place, local_place

from actors.errors import JobError
from actors.outputs import open_output
from actors.outputs.newest import RowKeys, newest_rows
from actors.outputs.row_batches import read_schema
from actors.storage.store import Storage


def newest(place: Place) -> tuple[list[tuple[str, float]], int]:
    """Returns the image and weight of the newest rows, and the number of images without a row."""
    storage = Storage(place.options)
    runs = open_output(place.root, place.options).runs()
    with newest_rows(runs, storage) as rows:
        schema = read_schema(runs, storage)
        table = pa.concat_tables(rows.batches(schema))
        return list(zip(table["image_id"].to_pylist(), table["weight"].to_pylist(), strict=True)), rows.num_failed


def marked(run: DetectedRun, mark: float) -> DetectedRun:
    """Returns the run with ``mark`` in the weight column of each row."""
    for name in run.of("rows"):
        table = run.table(name)
        column = table.schema.get_field_index("weight")
        run.rewrite(name, table.set_column(column, "weight", pa.array([mark] * len(table), pa.float64())))
    return run


def paths(names: str) -> list[str]:
    return [f"/data/{name}.jpg" for name in names]


def test_a_newer_run_supersedes_the_images_that_it_has(place: Place) -> None:
    marked(DetectedRun("a", opened_at="2026-01-01"), 1).put(place)
    marked(DetectedRun("b", names=[["d", "x"], ["f"]], bad=[(1, 0)], cut=[2], opened_at="2026-02-01"), 2).put(place)
    marked(DetectedRun("c", names=[["x", "y"]], bad=[(0, 1)], cut=[], opened_at="2026-03-01"), 3).put(place)
    rows, num_failed = newest(place)
    marks = {"x": 3, "d": 2}
    assert rows == [(path, marks.get(path[6], 1)) for path in paths("xdacefgh")]
    # b failed in the first run and y in the third; f failed later, but has a row.
    assert num_failed == 2


def test_a_single_run_keeps_all_of_its_rows(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    DetectedRun("a", names=[["p", "p"], ["q"]], bad=(), cut=[]).put(place)
    rows, num_failed = newest(place)
    assert [path for path, _ in rows] == paths("ppq")
    assert num_failed == 0
    DetectedRun("b", names=[["q"]], bad=(), cut=[], opened_at="2026-05-05").put(place)
    assert [path for path, _ in newest(place)[0]] == paths("qpp")


def test_names_that_join_to_the_same_text_are_different_images(tmp_path: Path) -> None:
    with RowKeys(str(tmp_path), 256 << 20) as keys:
        for number, (image_id, uri) in enumerate([("a", "bc"), ("ab", "c"), ("a", "bc")]):
            keys.add_rows(number, [pa.table({"image_id": [image_id], "uri": [uri]})])
        keys.add_failed([pa.table({"image_id": ["a", "abc", "abc"], "uri": ["bc", "", ""]})])
        assert np.concatenate(list(keys.newest())).tolist() == [0, 1]
        assert keys.num_failed() == 1


@pytest.mark.slow
def test_memory_stays_bounded(tmp_path: Path) -> None:
    num_rows, size = 3_000_000, 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with RowKeys(str(tmp_path), 200 << 20) as keys:
        for run in range(2):
            for start in range(0, num_rows, size):
                ids = pa.array([f"/data/{number:09}.jpg" for number in range(start, start + size)])
                keys.add_rows(run, [pa.table({"image_id": ids, "uri": ids})])
        assert sum(len(numbers) for numbers in keys.newest()) == num_rows
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 << 10  # KiB


def test_a_full_temporary_folder_has_its_own_fix(tmp_path: Path) -> None:
    with RowKeys(str(tmp_path / "nowhere"), 256 << 20) as keys, pytest.raises(JobError) as caught:
        keys.num_failed()
    assert "convert.run=RUN_ID" in caught.value.fix
