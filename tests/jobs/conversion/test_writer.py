from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from actors.errors import JobError
from jobs.conversion.destination import LocalFiles
from jobs.conversion.writer import NAME, is_mask, needs, put_masks


def test_class_maps_are_binary() -> None:
    assert is_mask(pa.schema([("mask", pa.binary())]))
    assert not is_mask(pa.schema([("mask", pa.string())]))
    assert not is_mask(pa.schema([("image_id", pa.string())]))


def test_masks_have_the_names_of_their_images(tmp_path: Path) -> None:
    rows = pa.table({NAME: ["a/b.jpg", "none.jpg", "a/b.png", "../c"], "mask": pa.array([b"1", None, b"2", b"3"])})
    names = put_masks(LocalFiles(tmp_path), rows, "masks")
    assert names == ["masks/a/b.png", None, "masks/a/b.png.png", "masks/%2E%2E/c.png"]
    assert [(tmp_path / name).read_bytes() for name in names if name] == [b"1", b"2", b"3"]


def test_missing_columns_are_named() -> None:
    schema = pa.schema([("width", pa.int32())])
    needs(schema, ["width"], to="yolo", fix="none")
    with pytest.raises(JobError, match="to=yolo: the rows have no column detections"):
        needs(schema, ["detections", "width"], to="yolo", fix="none")
