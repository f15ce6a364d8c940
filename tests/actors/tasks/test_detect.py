from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from boxes import Box, yolo_nms, yolov8
from detectors import yolo_like
from photos import jpeg

from actors.engines.configs import Device, OnnxEngineConfig, TorchEngineConfig
from actors.errors import JobError
from actors.models.spec import Model
from actors.predictor import Predictor
from actors.preprocess import PadPosition, Preprocess, ResizeMode
from actors.tasks.base import Outputs
from actors.tasks.context import BatchContext
from actors.tasks.detect import Detect
from actors.tasks.detection import heads
from actors.tasks.detection.tile import Tile

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
    assert tall == []  # 16 pixels wide


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
        (Detect(classes=["dogs"]), r"task.classes: 'dogs' .*\n  fix: did you mean dog\?"),
    ],
)
def test_a_task_that_cannot_work_is_refused(task: Detect, message: str) -> None:
    with pytest.raises(JobError, match=message):
        task.fields(Outputs.of({"output0": yolov8(IMAGES, 84, 3)}), LABELS)


def test_a_class_without_a_label_is_refused_where_shapes_do_not_tell() -> None:
    with pytest.raises(
        JobError, match=r"model.labels: the model gives class 2, counted from 0, and there are 2 labels"
    ):
        predict(Detect(), yolo_nms(IMAGES, 10), [(SIDE, SIDE)] * 2, labels=["cat", "dog"])


def test_outputs_that_are_not_read_may_be_anything() -> None:
    outputs = Outputs.of({"masks": np.zeros((2, 3, 8, 8), np.float32), "output0": yolov8(IMAGES, 84, 3)})
    assert Detect().output_names(outputs) == ["output0"]
    whole = Outputs.of({"output0": np.zeros((2, 300, 6), np.complex64)})
    with pytest.raises(JobError, match="complex numbers"):
        Detect().fields(whole, None)


PREPROCESS = Preprocess(resize=128, crop=128, mean=[0, 0, 0], std=[1, 1, 1])


def saved(folder: Path, layout: str) -> Model:
    torch.manual_seed(0)
    torch.save(yolo_like(layout=layout).state_dict(), folder / "detector.pt")
    kwargs = {"layout": layout}
    return Model("detectors:yolo_like", kwargs, str(folder / "detector.pt"), labels=LABELS, preprocess=PREPROCESS)


@pytest.mark.parametrize("layout", ["yolov8", "yolov5"])
def test_a_predictor_recognises_the_layout_and_boxes_are_the_same_in_every_engine(
    tmp_path: Path, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    heads._tell.cache_clear()
    model = saved(tmp_path, layout)
    images = [jpeg(number, width=160 + 16 * number, height=200) for number in range(6)]
    with caplog.at_level(logging.INFO, "shardlens"):
        by_torch, by_onnx = (
            Predictor(model, engine=engine, task=Detect()).predict(images)
            for engine in (TorchEngineConfig(device=Device.cpu), OnnxEngineConfig(device=Device.cpu))
        )
    assert f"task.head=auto: took {layout} for a model with outputs" in caplog.text
    assert by_torch["error"].null_count == by_onnx["error"].null_count == len(images)
    assert by_torch["width"].to_pylist() == [160 + 16 * number for number in range(6)]
    both = [[box for boxes in table["detections"].to_pylist() for box in boxes] for table in (by_torch, by_onnx)]
    assert len(both[0]) == len(both[1]) > 6
    for box, other in zip(*both, strict=True):
        assert box["label"] == other["label"]
        numbers = ("score", "xmin", "ymin", "xmax", "ymax")
        assert [box[name] for name in numbers] == pytest.approx([other[name] for name in numbers], abs=1e-2)


def test_a_predictor_refuses_labels_of_another_model(tmp_path: Path) -> None:
    model = saved(tmp_path, "yolov8")
    model.labels = ["cat", "dog"]
    with pytest.raises(JobError, match=r"model.labels: 2 labels do not fit"):
        Predictor(model, engine=TorchEngineConfig(device=Device.cpu), task=Detect())


def test_rows_are_counted_and_the_report_names_classes() -> None:
    table, _ = predict(Detect(), yolov8(IMAGES, 84, 3), [(SIDE, SIDE)] * 2)
    counts = Detect().counts(table)
    assert counts["objects/dog"] == 1
    assert Detect().summary(counts)[0] == ("objects", "3 in 1 images: cat 1, cow 1, dog 1")


def test_tiles_come_from_the_config_and_are_checked_with_the_other_numbers() -> None:
    assert Detect().tiling is None
    task = Detect(tile=Tile(640, overlap=640))
    assert task.tiling is task.tile
    with pytest.raises(JobError, match=r"task\.tile\.overlap=640: not below the side of a tile"):
        task.fields(Outputs({"output0": (5, 8400)}, {"output0": np.dtype(np.float32)}), ["mark"])
