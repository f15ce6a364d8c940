from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from boxes import Box, yolo_nms, yolov8

from actors.errors import JobError
from actors.preprocess import PadPosition, Preprocess, ResizeMode
from actors.tasks.base import Outputs
from actors.tasks.context import BatchContext
from actors.tasks.detect import Detect

LABELS = ["cat", "dog", "cow"]
SIDE = 64
LETTERBOX = Preprocess(resize=SIDE, crop=None, resize_mode=ResizeMode.longest_side, pad_position=PadPosition.top_left)
IMAGES: list[list[Box]] = [
    [(0, 0.5, (0, 0, 8, 8)), (1, 0.9, (0, 0, 8, 8)), (0, 0.8, (0, 0, 8, 7)), (2, 0.3, (20, 20, 40, 30))],
    [],
]


def predict(
    task: Detect,
    tensor: np.ndarray,
    sizes_hw: list[tuple[int, int]],
    labels: list[str] | None = LABELS,
    preprocess: Preprocess = LETTERBOX,
) -> tuple[pa.Table, np.ndarray]:
    tensors = {"output0": tensor}
    fields = task.fields(Outputs.of(tensors, input_hw=preprocess.size), labels)
    task.check(tensors)
    context = BatchContext(labels, preprocess, np.array(sizes_hw, np.int32))
    columns, valid = task.columns(tensors, context)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields)), valid


def found(task: Detect, **given: Any) -> list[tuple[str, float]]:
    table, _ = predict(task, yolov8(IMAGES, 84, 3), [(SIDE, SIDE)] * 2, **given)
    return [(box["label"], round(box["score"], 2)) for box in table["detections"][0].as_py()]


def test_the_worse_box_of_a_class_is_dropped() -> None:
    assert found(Detect()) == [("dog", 0.9), ("cat", 0.8), ("cow", 0.3)]
    assert found(Detect(iou=0.9)) == [("dog", 0.9), ("cat", 0.8), ("cat", 0.5), ("cow", 0.3)]
    assert found(Detect(class_agnostic=True)) == [("dog", 0.9), ("cow", 0.3)]


def test_boxes_are_limited_by_score_number_and_class() -> None:
    assert found(Detect(score_threshold=0.4)) == [("dog", 0.9), ("cat", 0.8)]
    assert found(Detect(max_detections=1)) == [("dog", 0.9)]
    assert found(Detect(classes=["cow", 0])) == [("cat", 0.8), ("cow", 0.3)]
    assert found(Detect(classes=[2]), labels=None) == [("2", 0.3)]


def test_boxes_are_in_pixels_of_the_source() -> None:
    table, valid = predict(Detect(), yolov8([[(0, 0.9, (16, 0, 32, 8))]] * 2, 84, 3), [(200, 640), (128, 32)])
    assert valid.all()
    assert table["width"].to_pylist() == [640, 32]
    assert table["height"].to_pylist() == [200, 128]
    (wide,), tall = table["detections"].to_pylist()
    assert [wide[name] for name in ("xmin", "ymin", "xmax", "ymax")] == [160, 0, 320, 80]
    assert tall == []  # of 16 pixels across


def test_a_box_in_the_padding_is_dropped_and_one_across_the_edge_is_clipped() -> None:
    boxes: list[Box] = [(0, 0.9, (40, 0, 60, 10)), (1, 0.8, (8, 8, 60, 16))]
    table, _ = predict(Detect(), yolov8([boxes], 84, 3), [(128, 32)])
    (box,) = table["detections"][0].as_py()
    assert (box["label"], box["xmin"], box["ymin"], box["xmax"], box["ymax"]) == ("dog", 16, 16, 32, 32)


def test_networks_without_duplicates_are_not_suppressed_again() -> None:
    table, _ = predict(Detect(max_detections=3), yolo_nms(IMAGES, 10), [(SIDE, SIDE)] * 2)
    assert [box["label"] for box in table["detections"][0].as_py()] == ["dog", "cat", "cat"]


def test_an_image_that_is_not_finite_is_not_valid() -> None:
    tensor = yolov8(IMAGES, 84, 3)
    tensor[1, 3, 4] = np.nan
    table, valid = predict(Detect(), tensor, [(SIDE, SIDE)] * 2)
    assert valid.tolist() == [True, False]
    assert table["detections"].to_pylist()[1] == []


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Detect(score_threshold=1.5), r"task.score_threshold=1.5: not from 0 to 1"),
        (Detect(iou=-0.1), r"task.iou=-0.1: not from 0 to 1"),
        (Detect(max_detections=0), r"task.max_detections=0"),
        (Detect(head="yolo"), r"task.head=yolo: no such head"),
        (Detect(classes=["dogs"]), r"task.classes: 'dogs' .*\n  cure: did you mean dog\?"),
    ],
)
def test_a_task_that_cannot_work_is_refused(task: Detect, message: str) -> None:
    with pytest.raises(JobError, match=message):
        task.fields(Outputs.of({"output0": yolov8(IMAGES, 84, 3)}), LABELS)


def test_outputs_that_are_not_read_may_be_anything() -> None:
    outputs = Outputs.of({"masks": np.zeros((2, 3, 8, 8), np.float32), "output0": yolov8(IMAGES, 84, 3)})
    assert Detect().output_names(outputs) == ["output0"]
    whole = Outputs.of({"output0": np.zeros((2, 300, 6), np.complex64)})
    with pytest.raises(JobError, match="complex numbers"):
        Detect().fields(whole, None)
