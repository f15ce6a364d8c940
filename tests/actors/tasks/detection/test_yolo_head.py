from __future__ import annotations

import numpy as np
import pytest
from boxes import Box, yolo_nms, yolov5, yolov8

from actors.errors import JobError
from actors.tasks.base import Outputs
from actors.tasks.detection.candidates import Candidates
from actors.tasks.detection.head import Head
from actors.tasks.detection.yolo_head import YOLO_HEADS, finite, logarithms

V5, V8, TRANSPOSED, NMS = YOLO_HEADS
IMAGES: list[list[Box]] = [
    [(2, 0.9, (10, 20, 30, 60)), (0, 0.5, (1, 2, 3, 4)), (1, 0.25, (0, 0, 8, 8))],
    [],
    [(1, 0.7, (100, 50, 140, 90))],
]
TENSORS = {
    V5.name: yolov5(IMAGES, 63, 3),
    V8.name: yolov8(IMAGES, 21, 3),
    TRANSPOSED.name: yolov8(IMAGES, 21, 3).transpose(0, 2, 1),
    NMS.name: yolo_nms(IMAGES, 10),
}


def read(head: Head, tensor: np.ndarray, threshold: float = 0.25) -> Candidates:
    return head.candidates({"output0": tensor}, (160, 160), threshold=threshold)


@pytest.mark.parametrize("head", YOLO_HEADS, ids=lambda head: head.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_boxes_come_out_as_they_went_in(head: Head, dtype: type) -> None:
    found = read(head, TENSORS[head.name].astype(dtype), 0.2)
    assert found.images.tolist() == [0, 0, 0, 2]
    assert found.label_ids.tolist() == [2, 0, 1, 1]
    assert found.places.tolist() == [0, 1, 2, 0]
    np.testing.assert_allclose(found.scores, [0.9, 0.5, 0.25, 0.7], rtol=2e-3)
    assert found.boxes_xyxy.tolist() == [[10, 20, 30, 60], [1, 2, 3, 4], [0, 0, 8, 8], [100, 50, 140, 90]]
    assert {array.dtype for array in (found.boxes_xyxy, found.scores)} == {np.dtype(np.float32)}
    assert found.valid.all()


@pytest.mark.parametrize("head", YOLO_HEADS, ids=lambda head: head.name)
def test_lower_scores_are_left_out(head: Head) -> None:
    assert read(head, TENSORS[head.name], 0.6).images.tolist() == [0, 2]
    assert len(read(head, TENSORS[head.name], 1.0)) == 0


def test_a_score_equal_to_the_threshold_counts() -> None:
    assert len(read(V8, yolov8([[(0, 0.25, (0, 0, 8, 8))]], 5, 2), 0.25)) == 1


@pytest.mark.parametrize("head", YOLO_HEADS, ids=lambda head: head.name)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_image_that_is_not_finite_has_no_boxes_and_is_not_valid(head: Head, bad: float) -> None:
    for place in range(TENSORS[head.name].shape[1]):
        tensor = TENSORS[head.name].copy()
        tensor[0, place, -1] = bad
        found = read(head, tensor)
        assert found.valid.tolist() == [False, True, True]
        assert set(found.images) == {2}


def test_objectness_scales_the_score() -> None:
    tensor = np.zeros((1, 3, 7), np.float32)
    tensor[0, 1] = [8, 8, 4, 4, 0.5, 0.25, 0.75]
    found = read(V5, tensor)
    assert found.scores.tolist() == [0.375]
    assert found.label_ids.tolist() == [1]


def test_places_without_a_box_are_left_out_at_any_threshold() -> None:
    tensor = np.full((1, 4, 6), -1, np.float32)
    assert len(read(NMS, tensor, 0.0)) == 0


@pytest.mark.parametrize("head", [V5, V8, TRANSPOSED], ids=lambda head: head.name)
def test_logits_are_refused(head: Head) -> None:
    head.check({"output0": TENSORS[head.name]})
    with pytest.raises(JobError, match=r"scores in the model's output output0 go from .*\n  fix: .*sigmoid"):
        head.check({"output0": TENSORS[head.name] * 20 - 5})


def test_boxes_in_shares_of_the_image_are_refused() -> None:
    tensor = TENSORS[V8.name].copy()
    tensor[:, :4] /= 160
    with pytest.raises(JobError, match="shares of the image"):
        V8.check({"output0": tensor})


def test_other_numbers_than_score_and_class_are_refused() -> None:
    NMS.check({"output0": TENSORS[NMS.name]})
    with pytest.raises(JobError, match="does not hold a score and the number of a class"):
        NMS.check({"output0": TENSORS[NMS.name] + np.float32(0.3)})


def test_numbers_behind_the_boxes_are_boxes_and_logarithms() -> None:
    parts = V5.parts({"output0": TENSORS[V5.name]})
    assert parts["boxes"].shape == (3, 4, 63)
    assert parts["scores"].shape == (3, 4, 63)
    assert parts["scores"][0, 0, 0] == pytest.approx(np.log(0.9), rel=1e-5)
    assert NMS.parts({"output0": TENSORS[NMS.name]}) == {}


def test_logarithms_of_certain_scores_are_finite() -> None:
    assert logarithms(np.array([0, 0.5, 1], np.float32)).tolist() == pytest.approx([-9.21, -0.69, 0], abs=0.01)


def test_finite_looks_at_every_value() -> None:
    values = np.zeros((3, 2, 2), np.float16)
    values[1, 1, 1] = np.inf
    values[2, 0, 0], values[2, 0, 1] = np.inf, -np.inf
    assert finite(values).tolist() == [True, False, False]
    assert finite(np.full((1, 100, 100), 60000, np.float16)).all()


def fits(head: Head, shape: tuple[int, ...], labels: list[str] | None = None) -> bool:
    return head.recognises(Outputs({"output0": shape}, {"output0": np.dtype(np.float32)}), labels)


def test_labels_decide_between_layouts() -> None:
    for head, shape in ((V5, (9, 8)), (V8, (7, 9)), (TRANSPOSED, (9, 7))):
        assert fits(head, shape, ["a", "b", "c"])
        assert fits(head, shape)
        assert not fits(head, shape, ["a", "b"])
        assert not fits(head, shape[::-1], ["a", "b", "c"])
    assert fits(NMS, (300, 6))
    assert not fits(NMS, (300, 7))
    assert not fits(V8, (3, 80, 80))
