from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scored import Scored
from scored_runs import publish_rows

from actors.columns import IMAGE_ID, TARGET
from actors.errors import JobError
from actors.outputs import open_output
from actors.tasks.classify import Classify
from actors.tasks.detect import Detect
from actors.tasks.detection.rows import detections_field
from actors.tasks.regress import Regress
from actors.tasks.segment import Segment
from actors.tasks.segmentation.png import encode_png
from jobs.evaluating.config import Evaluate
from jobs.evaluating.measuring import Measured, measure, score_names


def measured(root: Path, **options: object) -> Measured:
    return measure(open_output(str(root)).run("r"), Evaluate(**options))


@pytest.mark.parametrize("num_classes", [4, 1200])
def test_receipts_and_rows_give_the_same_scores(num_classes: int, tmp_path: Path) -> None:
    scored, task = Scored.random(200, num_classes), Classify()
    task._labels = scored.labels
    tables = [rows for rows in scored.batches() if len(rows)]
    for name, has_counters in (("new", True), ("old", False)):
        publish_rows(tmp_path / name, task, tables, has_counters=has_counters, labels=scored.labels)
    found = measured(tmp_path / "new")
    assert found.num_labelled == 200
    assert found.scores["accuracy"] == (scored.scores.argmax(1) == scored.targets).mean()
    assert {"f1_macro", "ece", "top5"} <= found.scores.keys()
    assert bool(found.confusion) is (num_classes == 4)
    assert sum(own["num_true"] for own in found.classes) == 200
    assert all(own["class"] == f"class {own['class_id']}" for own in found.classes)
    assert measured(tmp_path / "old") == found
    publish_rows(tmp_path / "bare", task, [tables[0].drop_columns([TARGET])])
    with pytest.raises(JobError, match="no row has a known label"):
        measured(tmp_path / "bare")


def test_numbers_and_pixels(tmp_path: Path) -> None:
    ages = pa.table({"age": pa.array([1.5, 2.0, 5.0], pa.float32()), TARGET: ["1", "2", "4"]})
    publish_rows(tmp_path / "ages", Regress(names=["age"]), [ages])
    assert measured(tmp_path / "ages").scores["mae"] == 0.5
    known, given = np.array([[0, 1], [1, 255]], np.uint8), np.array([[0, 1], [0, 0]], np.uint8)
    (tmp_path / "known.png").write_bytes(encode_png(known))
    masks = pa.table({"mask": [encode_png(given)], TARGET: [str(tmp_path / "known.png")]})
    publish_rows(tmp_path / "masks", Segment(), [masks], labels=["street", "car"])
    found = measured(tmp_path / "masks")
    assert found.scores == {"mean_iou": pytest.approx(0.5), "pixel_accuracy": pytest.approx(2 / 3)}
    assert found.classes[1] == {"class": "car", "iou": 0.5}
    (tmp_path / "known.png").unlink()
    with pytest.raises(JobError, match="a label cannot be read"):
        measured(tmp_path / "masks")


def test_boxes_against_a_coco_file(tmp_path: Path) -> None:
    box = {"label_id": 0, "label": "cat", "score": 0.9, "xmin": 10.0, "ymin": 10.0, "xmax": 60.0, "ymax": 60.0}
    fields = pa.schema([pa.field(IMAGE_ID, pa.string()), detections_field()])
    rows = pa.Table.from_pylist([{IMAGE_ID: "/data/a.jpg", "detections": [box]}], fields)
    publish_rows(tmp_path / "out", Detect(), [rows])
    truth = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 10, 50, 50]}],
        "categories": [{"id": 3, "name": "cat"}],
    }
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(truth))
    found = measured(tmp_path / "out", annotations=str(file))
    assert found.scores["map"] == pytest.approx(1)
    assert found.classes == [{"class": "cat", "map": pytest.approx(1)}]
    with pytest.raises(JobError, match=r"evaluate.annotations: not given"):
        measured(tmp_path / "out")
    file.write_text(json.dumps({**truth, "images": [{"id": 1, "file_name": "b.jpg"}]}))
    with pytest.raises(JobError, match="names none of the images"):
        measured(tmp_path / "out", annotations=str(file))
    file.write_text("{}")
    with pytest.raises(JobError, match="cannot be read"):
        measured(tmp_path / "out", annotations=str(file))


@pytest.mark.parametrize("task", [{"name": "embed"}, {"name": "raw"}, {"name": "classify", "threshold": 0.5}])
def test_answers_that_are_no_labels_are_refused(task: dict[str, object]) -> None:
    with pytest.raises(JobError, match="cannot be evaluated"):
        score_names(task, has_annotations=False)


def test_fewer_than_five_classes_in_the_lists_give_no_top5() -> None:
    names = score_names({"name": "classify", "top_k": 3}, has_annotations=False)
    assert "top1" in names
    assert not [name for name in names if "top5" in name]
    assert "top5_err" in score_names({"name": "classify", "top_k": 5}, has_annotations=False)


def test_labels_that_are_gone_are_those_of_the_rows(tmp_path: Path) -> None:
    scored = Scored.random(100, 3)
    publish_rows(tmp_path, Classify(), [scored.rows.slice(0, 50), scored.rows.slice(50)], labels="gone.txt")
    assert [own["class"] for own in measured(tmp_path).classes] == scored.labels
