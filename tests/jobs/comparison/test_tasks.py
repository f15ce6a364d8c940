from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from compared import classified, publish_run
from places import local_place

from actors.errors import JobError
from actors.tasks.detect import Detect
from actors.tasks.detection.rows import detections_field
from actors.tasks.regress import Regress
from actors.tasks.segment import Segment
from jobs.comparison.boxes import BoxAnswers
from jobs.comparison.classes import ClassAnswers
from jobs.comparison.pixels import PixelAnswers
from jobs.comparison.tasks import answers_of


def test_each_task_has_its_comparison_and_different_ones_are_refused(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    boxes = pa.table({"image_id": ["1"], "detections": pa.array([[]], detections_field().type)})
    runs = {
        "classes": publish_run(place, "classes", classified([("1", "x", 0.5)])),
        "boxes": publish_run(place, "boxes", boxes, task=Detect()),
        "instances": publish_run(place, "instances", boxes, task=Segment()),
        "maps": publish_run(place, "maps", pa.table({"image_id": ["1"], "mask": [b""]}), task=Segment()),
        "nothing": publish_run(place, "nothing", boxes.slice(0, 0), task=Segment()),
        "one": publish_run(place, "one", pa.table({"image_id": ["1"], "age": [1.0]}), task=Regress()),
        "other": publish_run(place, "other", pa.table({"image_id": ["1"], "size": [1.0]}), task=Regress()),
    }
    same = {name: type(answers_of(run, run)) for name, run in runs.items() if name not in ("one", "other")}
    assert same == {
        "classes": ClassAnswers, "boxes": BoxAnswers, "instances": BoxAnswers, "maps": PixelAnswers,
        "nothing": PixelAnswers,
    }  # fmt: skip
    assert isinstance(answers_of(runs["nothing"], runs["instances"]), BoxAnswers)
    for a, b, message in (
        ("classes", "boxes", r"run A \(classes\) is of task=classify, and run B \(boxes\) of task=detect"),
        ("maps", "instances", "one run has class maps and the other has instances"),
        ("one", "other", "no column of numbers in common: A has age, B has size"),
    ):
        with pytest.raises(JobError, match=message):
            answers_of(runs[a], runs[b])
