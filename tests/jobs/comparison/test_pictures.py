from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from compared import compared, publish_run
from compared_pictures import LABELS, two_runs
from PIL import Image
from places import local_place

from actors.tasks.detect import Detect
from actors.tasks.detection.rows import detections_field
from actors.tasks.regress import Regress
from jobs.comparison.pictures import make_pictures


def test_pictures_are_spread_over_all_kinds_of_change(tmp_path: Path) -> None:
    findings = compared(*two_runs(tmp_path))
    pictures = make_pictures(findings, 100, None)
    flips = findings.changes.flips
    assert {name: len(some) for name, some in pictures.items()} == {
        **{f"flip/{place}": flip.num for place, flip in enumerate(flips)},
        "new/decode/truncated": 2,
    }
    for place, flip in enumerate(flips):
        assert {one.title for one in pictures[f"flip/{place}"]} == {f"{flip.before} → {flip.after}"}
        assert [len(one.lines) for one in pictures[f"flip/{place}"]] == [2] * flip.num
    for one in (one for some in pictures.values() for one in some):
        data = base64.b64decode(one.source.removeprefix("data:image/webp;base64,"))
        assert Image.open(io.BytesIO(data)).size == (one.width, one.height) == (60, 40)
    failed = pictures["new/decode/truncated"][0]
    assert (failed.title, failed.message, failed.lines[1]) == ("decode/truncated", "cut off", "B: decode/truncated")
    assert failed.lines[0].startswith(f"A: {LABELS[0]}") or failed.lines[0].startswith("A: ")
    # In turn: one of each group before the second of any.
    few = make_pictures(findings, len(pictures) + 1, None)
    assert sorted(map(len, few.values())) == [1] * (len(pictures) - 1) + [2]
    assert make_pictures(findings, 0, None) == {}


def test_images_that_are_gone_have_a_note(tmp_path: Path) -> None:
    findings = compared(*two_runs(tmp_path))
    shutil.rmtree(tmp_path / "images")
    assert all(one.note and not one.source for some in make_pictures(findings, 50, None).values() for one in some)
    shutil.rmtree(tmp_path / "out/runs/b/inventory")
    assert all("no inventory" in one.note for some in make_pictures(findings, 50, None).values() for one in some)


@pytest.mark.parametrize("task", ["detect", "regress"])
def test_boxes_are_shown_as_in_both_runs_and_numbers_with_their_change(task: str, tmp_path: Path) -> None:
    place = local_place(tmp_path)
    box = {"label_id": 0, "label": "cat", "score": 0.5, "xmin": 0, "ymin": 0, "xmax": 9, "ymax": 9}
    answers = {
        "detect": [pa.array([boxes], detections_field().type) for boxes in ([], [box])],
        "regress": [pa.array([age], pa.float32()) for age in (30, 31.5)],
    }[task]
    name, kind = {"detect": ("detections", Detect()), "regress": ("age", Regress())}[task]
    runs = [
        publish_run(place, side, pa.table({"image_id": ["1"], name: own}), task=kind)
        for side, own in zip("ab", answers, strict=True)
    ]
    pictures = make_pictures(compared(*runs), 10, None)
    titles = {key: [one.title for one in some] for key, some in pictures.items()}
    if task == "detect":
        assert titles["flip/0"] == ["A: no object", "B: 1 cat"]
    else:
        assert titles == {"Largest differences of age": ["age 30 → 31.5"]}
