from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from boxes import Box, yolov5, yolov8
from onnx import TensorProto, helper

from actors.errors import JobError
from actors.exporting.onnx_suppression import append_suppression
from actors.exporting.postprocess import DETECTIONS
from actors.predicting.box_steps import suppression_steps
from actors.tasks.base import Outputs
from actors.tasks.detect import Detect

OUTPUT = DETECTIONS  # the new output has the same name
LIMITS = (
    {},
    {"iou": 0.1, "score_threshold": 0.3},
    {"max_detections": 3, "score_threshold": 0.05},
    {"class_agnostic": True, "classes": [0, 2]},
)


def random_boxes(random: np.random.Generator, num_images: int) -> list[list[Box]]:
    """Returns images of 40 boxes that often overlap, with distinct scores per image. The last of several has none."""
    images: list[list[Box]] = []
    for _ in range(num_images):
        scores = random.permutation(np.linspace(0.06, 0.96, 40))
        corners = random.integers(0, 60, (40, 2))
        images.append(
            [
                (int(random.integers(3)), float(score), (x, y, x + random.integers(8, 40), y + random.integers(8, 40)))
                for score, (x, y) in zip(scores, corners, strict=True)
            ]
        )
    return [*images[:-1], []] if num_images > 1 else images


def written(folder: Path, outputs: np.ndarray, task: Detect, opset: int = 18) -> Path:
    """Writes an identity graph followed by suppression."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *outputs.shape[1:]]) for name in ("x", OUTPUT)
    ]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], [OUTPUT])], "g", values[:1], values[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.save(proto, folder / "plain.onnx")
    suppression = suppression_steps(task, Outputs.of({OUTPUT: outputs}), None).suppression
    assert suppression is not None
    append_suppression(folder / "plain.onnx", folder / "suppressed.onnx", suppression)
    return folder / "suppressed.onnx"


def run(path: Path, outputs: np.ndarray) -> list[np.ndarray]:
    """Returns the detections of onnxruntime and OpenVINO."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model(str(path), "CPU")
    assert [value.name for value in session.get_outputs()] == [DETECTIONS]
    return [session.run(None, {"x": outputs})[0], next(iter(compiled([outputs]).values()))]


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("head", ["yolov5", "yolov8", "yolov8_transposed"])
def test_the_boxes_are_those_of_the_task_bit_for_bit(head: str, limits: dict[str, object], tmp_path: Path) -> None:
    task = Detect(head=head, **limits)  # type: ignore[arg-type]
    path = None
    for num_images in (1, 5):
        images = random_boxes(np.random.default_rng(num_images), num_images)
        outputs = (yolov5 if head == "yolov5" else yolov8)(images, 84, 3)
        if head == "yolov8_transposed":
            outputs = np.ascontiguousarray(outputs.transpose(0, 2, 1))
        path = path or written(tmp_path, outputs, task)
        wanted = suppression_steps(task, Outputs.of({OUTPUT: outputs}), None).of({OUTPUT: outputs})[DETECTIONS]
        found = (wanted[..., 4] > 0).sum()
        assert 0 < found < 40 * num_images
        for given in run(path, outputs):
            np.testing.assert_array_equal(given, wanted)


def test_equal_scores_keep_the_first_box_in_onnxruntime(tmp_path: Path) -> None:
    same: list[Box] = [(0, 0.5, (0, 0, 8, 8)), (0, 0.5, (1, 0, 9, 8)), (1, 0.5, (30, 30, 40, 40))]
    outputs = yolov8([same], 84, 3)
    given, _ = run(written(tmp_path, outputs, Detect(head="yolov8", iou=0.5)), outputs)
    assert given[0, :3].tolist() == [[0, 0, 8, 8, 0.5, 0], [30, 30, 40, 40, 0.5, 1], [0] * 6]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_that_is_not_finite_does_not_look_empty(value: float, tmp_path: Path) -> None:
    outputs = yolov8([[(0, 0.9, (0, 0, 8, 8))], [(1, 0.8, (0, 0, 8, 8))]], 84, 3)
    outputs[0, 5, 50] = value
    for given in run(written(tmp_path, outputs, Detect(head="yolov8")), outputs):
        assert np.isnan(given[0]).all()
        assert given[1, 0, 5] == 1
        assert np.isfinite(given[1]).all()


def test_an_overlap_of_exactly_the_limit_is_allowed(tmp_path: Path) -> None:
    # 3 of 30: in float32, both the overlap and the limit 0.1 round up.
    outputs = yolov8([[(0, 0.9, (0, 0, 16, 1)), (0, 0.8, (13, 0, 30, 1))]], 84, 1)
    task = Detect(head="yolov8", iou=0.1)
    wanted = suppression_steps(task, Outputs.of({OUTPUT: outputs}), None).of({OUTPUT: outputs})[DETECTIONS]
    for given in run(written(tmp_path, outputs, task), outputs):
        np.testing.assert_array_equal(given, wanted)


def test_opsets(tmp_path: Path) -> None:
    outputs = yolov8([[(0, 0.9, (0, 0, 8, 8))]], 84, 3)
    for opset in (12, 13, 20):
        for given in run(written(tmp_path, outputs, Detect(head="yolov8"), opset), outputs):
            assert given[0, 0, 4] == np.float32(0.9)
    with pytest.raises(JobError, match="the graph is of opset 11"):
        written(tmp_path, outputs, Detect(head="yolov8"), 11)
