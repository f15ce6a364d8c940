from __future__ import annotations

import numpy as np
import pytest

from actors.errors import JobError
from actors.tasks.base import Outputs
from actors.tasks.detection.padded_head import PaddedHead

BOXES = np.float32([[[1, 2, 3, 4], [0, 0, 5, 6], [0, 0, 0, 0]], [[2, 2, 4, 4], [0, 0, 0, 0], [0, 0, 0, 0]]])
SCORES = np.float32([[0.9, 0.3, 0], [0.5, 0, 0]])
LABELS = np.int64([[2, 0, -1], [1, -1, -1]])
TENSORFLOW = {
    "detection_boxes": BOXES[..., [1, 0, 3, 2]] / np.float32([20, 10, 20, 10]),
    "detection_scores": SCORES,
    "detection_classes": LABELS.astype(np.float32),
    "num_detections": np.float32([2, 1]),
}
EFFICIENT_NMS = {
    "detection_boxes": BOXES,
    "detection_scores": SCORES,
    "detection_classes": LABELS.astype(np.int32),
    "num_detections": np.int32([[2], [1]]),
}
LAYOUTS = {
    "torchvision": {"boxes": BOXES, "labels": LABELS, "scores": SCORES},
    "TensorFlow": TENSORFLOW,
    "EfficientNMS_TRT": EFFICIENT_NMS,
    "YOLO with EfficientNMS_TRT": {
        name.replace("detections", "dets").replace("detection", "det"): tensor for name, tensor in EFFICIENT_NMS.items()
    },
}


@pytest.mark.parametrize("tensors", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_lead_to_the_same_boxes(tensors: dict[str, np.ndarray]) -> None:
    head, outputs = PaddedHead(), Outputs.of(tensors)
    assert head.recognises(outputs, ["a"])
    head.check(tensors)
    read = {name: tensors[name] for name in head.output_names(outputs)}
    assert read.keys() == tensors.keys()
    found = head.candidates(read, (20, 10), threshold=0.0)
    assert found.images.tolist() == [0, 0, 1]
    np.testing.assert_allclose(found.boxes_xyxy, [[1, 2, 3, 4], [0, 0, 5, 6], [2, 2, 4, 4]], rtol=1e-6)
    assert found.scores.tolist() == SCORES[[0, 0, 1], [0, 1, 0]].tolist()
    assert found.label_ids.tolist() == [2, 0, 1]
    assert found.places.tolist() == [0, 1, 0]
    assert found.label_ids.dtype == np.int32
    assert not head.parts(read)


def test_a_threshold_leaves_boxes_out() -> None:
    found = PaddedHead().candidates(LAYOUTS["torchvision"], (20, 10), threshold=0.5)
    assert found.scores.tolist() == SCORES[[0, 1], [0, 0]].tolist()


def test_what_is_beyond_the_number_of_boxes_does_not_count() -> None:
    tensors = {**EFFICIENT_NMS, "num_detections": np.int32([[1], [0]])}
    assert PaddedHead().candidates(tensors, (20, 10), threshold=0).images.tolist() == [0]


def test_an_image_with_a_box_that_is_not_finite_is_invalid() -> None:
    boxes = BOXES.copy()
    boxes[0, 1, 2] = np.nan
    found = PaddedHead().candidates({**LAYOUTS["torchvision"], "boxes": boxes}, (20, 10), threshold=0)
    assert found.valid.tolist() == [False, True]
    assert found.images.tolist() == [1]


@pytest.mark.parametrize(
    "changed",
    [
        {"boxes": BOXES[..., :3]},
        {"scores": SCORES[:, :2]},
        {"labels": LABELS[..., None]},
        {"boxes": BOXES[..., 0]},
    ],
)
def test_other_shapes_are_not_recognised(changed: dict[str, np.ndarray]) -> None:
    outputs = Outputs.of({**LAYOUTS["torchvision"], **changed})
    assert not PaddedHead().recognises(outputs, None)
    assert PaddedHead().output_names(outputs) == []


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({**LAYOUTS["torchvision"], "scores": 9 * SCORES}, "scores in the model's output scores reach 8.1"),
        ({**LAYOUTS["torchvision"], "boxes": BOXES / 9}, "output boxes are shares of the image, not pixels"),
        ({**TENSORFLOW, "detection_boxes": BOXES}, "output detection_boxes are pixels, not shares"),
    ],
)
def test_numbers_of_another_kind_are_refused(tensors: dict[str, np.ndarray], problem: str) -> None:
    with pytest.raises(JobError, match=problem) as raised:
        PaddedHead().check(tensors)
    assert raised.value.fix.startswith("export the network")
