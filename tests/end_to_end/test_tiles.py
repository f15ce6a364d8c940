"""A whole job that cuts large pictures into tiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from marks import SIDE, marked_picture, save_marks, scattered
from PIL import Image

Infer = Callable[..., list[str]]

pytestmark = pytest.mark.slow


def test_small_marks_in_large_pictures_are_found_all_and_none_twice(infer: Infer, tmp_path: Path) -> None:
    save_marks(tmp_path / "marks.pt")
    (tmp_path / "images").mkdir()
    sizes = {"large": (2000, 2000), "small": (100, 90), "long": (300, 3000)}
    marks = {name: scattered(*size, 200 if name == "large" else 4) for name, size in sizes.items()}
    for name, size in sizes.items():
        Image.fromarray(marked_picture(*size, marks[name])).save(tmp_path / "images" / f"{name}.png", compress_level=1)
    (tmp_path / "images" / "broken.jpg").write_bytes(b"no image")
    printed = infer(
        "+dataset=images", "dataset.path=images", "output.path=out", "run.id=r", "errors.max_ratio=1", "engine=torch",
        "model.architecture=marks:Marks", "model.checkpoint=marks.pt", "model.labels=[mark]",
        "model.preprocess.resize=null", "model.preprocess.crop=256", "model.preprocess.mean=[0,0,0]",
        "model.preprocess.std=[1,1,1]", "task=detect", "task.head=yolov8", "task.tile.size=256",
    )  # fmt: skip
    assert "objects    208 in 3 images: mark 208" in printed
    rows = {Path(row["uri"]).name: row for row in pq.read_table(tmp_path / "out" / "rows").to_pylist()}
    assert sorted(rows) == ["large.png", "long.png", "small.png"]
    for name, corners in marks.items():
        row = rows[f"{name}.png"]
        assert (row["height"], row["width"]) == sizes[name]
        found = [[one[key] for key in ("xmin", "ymin", "xmax", "ymax")] for one in row["detections"]]
        expected = np.concatenate([corners, corners + SIDE], axis=1)
        np.testing.assert_allclose(np.array(sorted(found)), expected[np.lexsort(expected[:, 1::-1].T)], atol=0.1)
    errors = pq.read_table(tmp_path / "out" / "errors").to_pylist()
    assert [(Path(row["uri"]).name, row["stage"], row["error"]) for row in errors] == [
        ("broken.jpg", "decode", "unidentified")
    ]
