from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from converted import content, converted
from detected import DetectedRun, EmbeddedRun, SegmentedRun
from places import Place, local_place
from published import PublishedRun
from pycocotools import mask

from jobs.conversion.jsonl import write_lines


def plain(value: Any) -> Any:
    """Returns an Arrow value as it appears in JSON."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return None if value != value else pytest.approx(value, rel=1e-6)  # noqa: PLR0124  NaN
    return value


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_pycocotools_decodes_the_masks_of_the_lines(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    DetectedRun(masks=True).put(place)
    converted(place, "jsonl", tmp_path / "jsonl")
    line = json.loads((tmp_path / "jsonl" / "predictions.jsonl").read_text().splitlines()[0])
    for box in line["detections"]:
        inside = mask.decode(box["mask"])
        wanted = [int(box[key]) for key in ("ymin", "ymax", "xmin", "xmax")]
        rows, columns = np.nonzero(inside)
        assert [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1] == wanted


@pytest.mark.parametrize("kind", [PublishedRun, DetectedRun, SegmentedRun, EmbeddedRun])
def test_every_column_of_every_row(kind: type[PublishedRun], tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    run = kind()
    run.put(place)
    lines = converted(place, "jsonl", tmp_path / "jsonl")
    found = [json.loads(line) for line in (tmp_path / "jsonl" / "predictions.jsonl").read_text().splitlines()]
    assert found == [plain(row) for name in run.of("rows") for row in run.table(name).to_pylist()]
    assert lines[-1].endswith("7 rows read = 7 written + 0 left out")


def test_the_newest_rows_are_counted(place: Place) -> None:
    PublishedRun("a").put(place)
    newer = PublishedRun("b", names=[["a", "x"]], bad=(), cut=[])
    newer.edit("run.json", lambda content: content.update(opened_at="2026-05-05T00:00:00Z"))
    newer.put(place)
    lines = converted(place, "jsonl", f"{place.root}/jsonl")
    assert lines[0] == "jsonl: model m0123456789abcde, 2 runs, newest b"
    assert lines[-1].endswith("9 rows read = 8 written + 1 left out (1 superseded by a newer run)")
    files = content(place, f"{place.root}/jsonl")
    names = [json.loads(line)["image_id"] for line in files["predictions.jsonl"].splitlines()]
    assert names == ["a", "x", "c", "d", "e", "f", "g", "h"]
    counts = json.loads(files["conversion.json"])
    assert (counts["status"], counts["runs"]) == ("done", ["b", "a"])
    assert counts["counts"]["left_out"] == {"superseded by a newer run": 1}


def test_lines_of_a_slice() -> None:
    file = io.BytesIO()
    texts = pa.array(["a", "bé", "c", "d"])
    write_lines(file, texts[1:3])
    write_lines(file, texts[:0])
    write_lines(file, texts[3:], end="")
    assert file.getvalue().decode() == "bé\nc\nd"
