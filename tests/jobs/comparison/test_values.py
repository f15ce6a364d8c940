from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from compared import compared, publish_run
from places import local_place

from actors.tasks.raw import Raw
from actors.tasks.regress import Regress
from jobs.comparison.answers import Match


def test_numbers_differ_by_column_whatever_their_names(tmp_path: Path) -> None:
    """Columns may have the names of our own tables; a kept column is not an answer."""
    place, draw = local_place(tmp_path), np.random.default_rng(0)
    names = ["number", 'odd "name"; DROP TABLE a', "points"]
    values = [[draw.normal(size=50).astype(np.float32) for _ in range(2)] for _ in range(2)]
    points = [draw.normal(size=(50, 4)).astype(np.float32) for _ in range(2)]
    runs = []
    for side, own, place_of in zip("ab", values, points, strict=True):
        lists = pa.FixedSizeListArray.from_arrays(pa.array(place_of.ravel()), 4)
        columns = dict(zip(names, [*own, lists], strict=True))
        table = pa.table({"image_id": [str(i) for i in range(50)], "kept": draw.random(50), **columns})
        runs.append(publish_run(place, side, table, task=Regress()))
    found = compared(*runs).changes
    apart = [np.abs(values[0][i] - values[1][i])[:, None] for i in range(2)] + [np.abs(points[0] - points[1])]
    for name, own in zip(names, apart, strict=True):
        figures = found.figures["columns"][name]
        assert figures["largest_difference"] == pytest.approx(own.max())
        assert figures["mean_difference"] == pytest.approx(own.mean())
    assert [one.name for one in found.distributions] == names
    assert sum(found.distributions[2].a) == 200
    assert found.drift == max(one.drift for one in found.distributions)
    worst = int(apart[0].argmax())
    assert found.examples["Largest differences of number"][0] == Match(worst, worst)
    assert compared(runs[0], runs[0]).changes.drift == 0


def test_tensors_of_any_type_and_values_that_are_not_finite(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    tensors = np.arange(24, dtype=np.float16).reshape(2, 12)
    kind = pa.fixed_shape_tensor(pa.float16(), (3, 4))
    runs = []
    for side, change in (("a", 0.0), ("b", 0.5), ("c", math.nan)):
        own = tensors.copy()
        own[0, 0] += change
        own[1, 1] = math.nan
        own[1, 2] = math.inf
        storage = pa.FixedSizeListArray.from_arrays(pa.array(own.ravel()), 12)
        table = {
            "image_id": ["1", "2"],
            "logits": pa.ExtensionArray.from_storage(kind, storage),
            "count": pa.array([1, 2**40 if side == "a" else 2**40 + 1], pa.int64()),
            "is_it": pa.array([True, False]),
        }
        runs.append(publish_run(place, side, pa.table(table), task=Raw()))
    figures = compared(runs[0], runs[1]).changes.figures["columns"]
    assert figures["logits"] == {"largest_difference": 0.5, "mean_difference": 0.5 / 24, "num_images": 1}
    assert figures["count"] == {"largest_difference": 1, "mean_difference": 0.5, "num_images": 1}
    assert figures["is_it"]["largest_difference"] == 0
    damaged = compared(runs[0], runs[2])
    assert damaged.changes.drift == math.inf
    assert damaged.to_json()["columns"]["logits"]["largest_difference"] is None
