from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from boxes import Box, yolo_nms, yolov8

from actors.engines.tolerance import EXACT
from actors.errors import JobError
from actors.models.bundle_files import Bundle, FormRecord
from actors.predicting.box_steps import for_suppressed, settled, suppression_steps
from actors.predicting.form_agreement import agreement
from actors.tasks.base import Outputs, Task
from actors.tasks.classify import Classify
from actors.tasks.detect import Detect
from actors.tasks.raw import Raw

LABELS = ["cat", "dog", "cow"]
IMAGES: list[list[Box]] = [[(0, 0.5, (0, 0, 8, 8)), (1, 0.9, (0, 0, 8, 8)), (0, 0.8, (0, 0, 8, 7))], []]
OUTPUTS = {"output0": yolov8(IMAGES, 84, 3)}


def test_the_answers_of_the_graph() -> None:
    steps = suppression_steps(Detect(max_detections=4), Outputs.of(OUTPUTS, input_hw=(64, 64)), LABELS)
    given = steps.of(OUTPUTS)["detections"]
    wanted = yolo_nms([[(1, 0.9, (0, 0, 8, 8)), (0, 0.8, (0, 0, 8, 7))], []], 4)
    np.testing.assert_array_equal(given, wanted)
    broken = OUTPUTS["output0"].copy()
    broken[0, 0, 0] = np.nan
    given = steps.of({"output0": broken})["detections"]
    assert np.isnan(given[0]).all()
    assert not given[1].any()


def test_boxes_are_compared_as_boxes() -> None:
    steps = suppression_steps(Detect(), Outputs.of(OUTPUTS), LABELS)
    wanted = steps.of(OUTPUTS)
    assert agreement(Detect(), "nms", wanted, wanted, EXACT).breaches == []
    moved = {"detections": wanted["detections"] + np.array([8, 0, 8, 0, 0, 0], np.float32)}
    assert agreement(Detect(), "nms", wanted, moved, EXACT).breaches


def test_a_settled_task_needs_no_labels() -> None:
    task = settled(Detect(classes=["cow", 0]), Outputs.of(OUTPUTS), LABELS)
    assert (task.head, task.classes) == ("yolov8", [0, 2])
    steps = suppression_steps(task, Outputs.of(OUTPUTS), None).suppression
    assert steps is not None
    assert (steps.num_classes, steps.num_rows, steps.classes) == (3, 84, (0, 2))


@pytest.mark.parametrize(
    ("task", "outputs", "said"),
    [
        (Classify(), OUTPUTS, r"needs boxes to suppress, and the job has task=classify"),
        (Detect(), {"output0": yolo_nms(IMAGES, 20)}, r"task\.head=yolo_nms, which needs no suppression"),
        (
            Detect(),
            {"logits": np.zeros((2, 20, 4), np.float32), "pred_boxes": np.zeros((2, 20, 4), np.float32)},
            r"task\.head=detr, which needs no suppression",
        ),
    ],
)
def test_models_without_anything_to_suppress(task: Task, outputs: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(JobError, match=rf"export\.postprocess=nms: .*{said}"):
        settled(task, Outputs.of(outputs), LABELS)


def bundle(postprocess: str = "nms", **fixed: Any) -> Bundle:
    task = vars(Detect(head="yolov8", score_threshold=0.3, iou=0.5, **fixed))
    forms = {"onnx": FormRecord({}, "fp32", postprocess, True, [], [])}
    return Bundle("", forms, None, {}, {}, None, task, {}, "", {})


@pytest.mark.parametrize(
    ("fixed", "asked"),
    [
        ({}, {}),
        ({}, {"score_threshold": 0.9, "max_detections": 7, "classes": ["dog"]}),
        ({"classes": [0, 2]}, {"classes": ["cat", 2]}),
        ({"classes": [0, 2]}, {"classes": ["cat"]}),
        ({"class_agnostic": True, "classes": [0]}, {"class_agnostic": True, "classes": ["cat"]}),
    ],
)
def test_a_stricter_task_runs(fixed: dict[str, Any], asked: dict[str, Any]) -> None:
    task = Detect(**{"score_threshold": 0.3, "iou": 0.5, **asked})
    found = for_suppressed(task, bundle(**fixed), "onnx", LABELS)
    assert found == Detect(head="yolo_nms", **{"score_threshold": 0.3, "iou": 0.5, **asked})


@pytest.mark.parametrize(
    ("fixed", "asked", "key"),
    [
        ({}, {"score_threshold": 0.25}, "score_threshold"),
        ({}, {"iou": 0.7}, "iou"),
        ({"max_detections": 100}, {}, "max_detections"),
        ({}, {"class_agnostic": True}, "class_agnostic"),
        ({"classes": [0]}, {}, "classes"),
        ({"classes": [0]}, {"classes": ["dog"]}, "classes"),
        # A box of another class may have suppressed a box of this one.
        ({"class_agnostic": True}, {"class_agnostic": True, "classes": ["dog"]}, "classes"),
    ],
)
def test_a_task_that_needs_other_boxes_is_refused(fixed: dict[str, Any], asked: dict[str, Any], key: str) -> None:
    task = Detect(**{"score_threshold": 0.3, "iou": 0.5, **asked})
    with pytest.raises(JobError, match=rf"task\.{key}=.*: the graph of form onnx was exported with task\.{key}=") as at:
        for_suppressed(task, bundle(**fixed), "onnx", LABELS)
    assert f"set task.{key}=" in at.value.fix


def test_other_tasks_and_graphs_stay_as_they_are() -> None:
    task = Detect(iou=0.2)
    assert for_suppressed(task, bundle("none"), "onnx", LABELS) is task
    raw = Raw()
    assert for_suppressed(raw, bundle(), "onnx", LABELS) is raw
