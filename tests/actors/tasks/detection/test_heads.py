from __future__ import annotations

import logging

import numpy as np
import pytest

from actors.errors import JobError
from actors.tasks.base import Outputs
from actors.tasks.detection import heads
from actors.tasks.detection.heads import head_for

COCO = [f"class {number}" for number in range(80)]


def outputs(*shapes: tuple[int, ...], input_hw: tuple[int, int] | None = (640, 640)) -> Outputs:
    named = {f"output{place}": shape for place, shape in enumerate(shapes)}
    return Outputs(named, dict.fromkeys(named, np.dtype(np.float32)), input_hw=input_hw)


@pytest.mark.parametrize(
    ("shape", "labels", "name"),
    [
        ((25200, 85), COCO, "yolov5"),
        ((25200, 85), None, "yolov5"),
        ((25200, 6), None, "yolov5"),
        ((84, 8400), COCO, "yolov8"),
        ((84, 8400), None, "yolov8"),
        ((5, 8400), None, "yolov8"),
        ((8400, 84), COCO, "yolov8_transposed"),
        ((8400, 84), None, "yolov8_transposed"),
        ((8400, 6), None, "yolov8_transposed"),
        ((300, 6), COCO, "yolo_nms"),
        ((300, 6), None, "yolo_nms"),
        ((84, 100), None, "yolov8"),
        ((7, 2), ["a", "b", "c"], "yolov8"),
    ],
)
def test_layouts_of_published_exports_are_recognised(
    shape: tuple[int, ...], labels: list[str] | None, name: str
) -> None:
    assert head_for("auto", outputs(shape), labels).name == name
    # Outputs with other numbers of axes, such as masks or the three levels of an older export, are ignored.
    assert head_for("auto", outputs((32, 160, 160), shape), labels).name == name


def test_the_size_of_the_input_tells_three_boxes_a_cell_from_one() -> None:
    shape = (25200, 85)
    assert head_for("auto", outputs(shape, input_hw=(1280, 960)), None).name == "yolov8_transposed"
    with pytest.raises(JobError, match=r"may be of yolov5 or yolov8_transposed\n  fix: set task\.head=yolov5"):
        head_for("auto", outputs(shape, input_hw=None), None)


def test_a_layout_that_is_ambiguous_is_refused_and_can_be_named() -> None:
    with pytest.raises(JobError, match=r"task.head=auto: .*\(n, 100, 7\) may be of yolov5 or yolov8_transposed"):
        head_for("auto", outputs((100, 7)), None)
    assert head_for("yolov8_transposed", outputs((100, 7)), None).name == "yolov8_transposed"


def test_the_choice_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    heads._tell.cache_clear()
    with caplog.at_level(logging.INFO, "shardlens"):
        for _ in range(3):
            head_for("auto", outputs((84, 8400)), COCO)
        head_for("yolov8", outputs((84, 8400)), COCO)
    assert caplog.messages == ["task.head=auto: took yolov8 for a model with outputs output0 (n, 84, 8400)"]


@pytest.mark.parametrize("name", ["auto", "yolov8"])
def test_labels_of_the_wrong_number(name: str) -> None:
    with pytest.raises(JobError, match=r"model.labels: 3 labels do not fit .*yolov8"):
        head_for(name, outputs((84, 8400)), ["a", "b", "c"])


def test_outputs_of_no_detector() -> None:
    with pytest.raises(JobError, match=r"task.head=auto: does not fit a model with outputs output0 \(n, 10\)"):
        head_for("auto", outputs((10,)), None)
    with pytest.raises(JobError, match=r"task.head=yolov5: does not fit"):
        head_for("yolov5", outputs((10, 3)), None)
    with pytest.raises(JobError, match=r"task.head=yolo: no such head\n  fix: choose one of auto, yolov5"):
        head_for("yolo", outputs((84, 8400)), None)


DETR = {"logits": (100, 4), "pred_boxes": (100, 4), "last_hidden_state": (100, 256)}
PADDED = {"boxes": (100, 4), "scores": (100,), "labels": (100,), "masks": (100, 28, 28)}


@pytest.mark.parametrize(
    ("shapes", "num_labels", "name"),
    [
        (PADDED, 91, "padded"),
        (PADDED, None, "padded"),
        (PADDED, 96, "padded"),
        (DETR, 3, "detr"),
        (DETR, 4, "detr_sigmoid"),
    ],
)
def test_outputs_with_names_of_their_own_are_recognised(
    shapes: dict[str, tuple[int, ...]], num_labels: int | None, name: str
) -> None:
    named = Outputs(shapes, dict.fromkeys(shapes, np.dtype(np.float32)), input_hw=(640, 640))
    labels = None if num_labels is None else COCO[:1] * num_labels
    assert head_for("auto", named, labels).name == name


def test_labels_tell_softmax_from_sigmoid() -> None:
    named = Outputs(DETR, dict.fromkeys(DETR, np.dtype(np.float32)))
    with pytest.raises(JobError, match="may be of detr or detr_sigmoid") as raised:
        head_for("auto", named, None)
    assert "set task.head=detr" in raised.value.fix
    assert head_for("detr_sigmoid", named, None).name == "detr_sigmoid"
    with pytest.raises(JobError, match=r"model.labels: 7 labels do not fit .* detr, .* or detr_sigmoid"):
        head_for("auto", named, ["a"] * 7)
