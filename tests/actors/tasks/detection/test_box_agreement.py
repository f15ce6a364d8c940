from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from boxes import Box, yolo_nms, yolov8
from detectors import YoloLike
from disturbances import disturb, roll_classes
from photos import photo
from torch import nn

from actors.engines.tolerance import EXACT, Tolerance
from actors.preprocess import Preprocess, fit
from actors.tasks.detect import Detect
from actors.tasks.parity import Agreement

PREPROCESS = Preprocess(resize=128, crop=128)
NUM_IMAGES = 12


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pixels_nchw() -> torch.Tensor:
    images = [fit(np.asarray(photo(number, width=192, height=144)), PREPROCESS) for number in range(NUM_IMAGES)]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def network(bias: float) -> YoloLike:
    torch.manual_seed(0)
    return YoloLike(bias=bias).eval()


def outputs(
    detector: nn.Module, pixels_nchw: torch.Tensor, dtype: torch.dtype = torch.float32
) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        tensor = copy.deepcopy(detector).to(dtype)(pixels_nchw.to(dtype))
    return {"output0": tensor.float().numpy()}


def move_boxes(detector: nn.Module) -> None:
    detector.get_parameter("box.bias")[0] += 1


def shift_scores(detector: nn.Module) -> None:
    detector.get_parameter("score.bias")[1] += 2


EDITS = {
    "first layer disturbed": disturb("conv1.weight", 0.3),
    "scores disturbed": disturb("score.weight", 0.3),
    "boxes disturbed": disturb("box.weight", 0.5),
    "classes in another order": roll_classes("score"),
    "boxes moved": move_boxes,
    "scores of a class shifted": shift_scores,
}
PIXELS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "blue first": lambda pixels: pixels.flip(1),
    "mirrored": lambda pixels: pixels.flip(3),
    "not divided by 255": lambda pixels: pixels * 255,
    "normalised": lambda pixels: (pixels - 0.45) / 0.225,
}
BIASES = {"many boxes": 0.0, "none": -8.0}
TASKS = {"many boxes": Detect(), "none": Detect(score_threshold=1)}


def broken(bias: float, kind: str, pixels_nchw: torch.Tensor) -> dict[str, np.ndarray]:
    detector = network(bias)
    with torch.no_grad():
        EDITS.get(kind, lambda _: None)(detector)
    return outputs(detector, PIXELS.get(kind, lambda pixels: pixels)(pixels_nchw))


@pytest.mark.parametrize("bias", BIASES)
def test_sound_bf16_passes_with_room_and_never_as_exact(bias: str, pixels_nchw: torch.Tensor) -> None:
    detector = network(BIASES[bias])
    reference, by_half = outputs(detector, pixels_nchw), outputs(detector, pixels_nchw, torch.bfloat16)
    agreement = TASKS[bias].agreement(reference, by_half, Tolerance())
    assert agreement.breaches == []
    assert agreement.figures["output_error"] < Tolerance().output_error / 2
    assert (agreement.figures["boxes"] > 10 * NUM_IMAGES) if bias == "many boxes" else (agreement.figures["boxes"] == 0)
    assert TASKS[bias].agreement(reference, by_half, EXACT).breaches
    assert TASKS[bias].agreement(reference, reference, EXACT).breaches == []


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("kind", [*EDITS, *PIXELS])
def test_a_broken_network_is_stopped_with_boxes_and_without(kind: str, bias: str, pixels_nchw: torch.Tensor) -> None:
    reference = outputs(network(BIASES[bias]), pixels_nchw)
    agreement = TASKS[bias].agreement(reference, broken(BIASES[bias], kind, pixels_nchw), Tolerance())
    assert agreement.breaches


BOX = (10.0, 10.0, 50.0, 50.0)
NMS = Detect(head="yolo_nms")


def compare(mine: list[Box], given: list[Box], **limits: float) -> Agreement:
    """Returns the agreement for a network that sorts its boxes: only the boxes themselves count."""
    both = ({"y": yolo_nms([boxes, [(1, 0.9, (0, 0, 9, 9))] * 4], 8)} for boxes in (mine, given))
    return NMS.agreement(*both, Tolerance(**limits))


def test_the_order_of_boxes_does_not_matter() -> None:
    boxes: list[Box] = [(0, 0.8, BOX), (1, 0.7, (60, 60, 90, 90))]
    agreement = compare(boxes, boxes[::-1])
    assert agreement.breaches == []
    assert agreement.figures == {
        "images": 2, "boxes": 12, "unmatched_ratio": 0, "mean_box_iou": 1, "score_difference": 0,
        "mean_score_difference": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ([], "no partner"),
        ([(0, 0.8, (10.0, 10.0, 50.0, 45.0))], "engine.tolerance.unmatched_ratio=0"),
        ([(1, 0.8, BOX)], "3 of 12 boxes|2 of 10 boxes"),
        ([(0, 0.65, BOX)], "the score of a box differs by 0.15"),
        ([(0, 0.8, BOX), (0, 0.8, (60.0, 60.0, 90.0, 90.0))], "1 of 11 boxes, the first in image 0,"),
    ],
)
def test_a_box_without_a_partner_or_with_another_score_is_a_breach(given: list[Box], word: str) -> None:
    breaches = compare([(0, 0.8, BOX)], given, unmatched_ratio=0).breaches
    assert breaches
    assert re.search(word, " ".join(breaches))


def test_scores_next_to_the_threshold_may_fall_below_it() -> None:
    agreement = compare([(0, 0.26, BOX)], [(0, 0.24, BOX)], unmatched_ratio=0)
    assert agreement.breaches == []
    assert agreement.figures["boxes"] == 9


def test_a_near_tie_in_suppression_may_go_either_way() -> None:
    near: tuple[float, float, float, float] = (10.0, 10.0, 50.0, 42.0)  # overlaps by 0.8
    reference = yolov8([[(0, 0.801, BOX), (0, 0.8, near)]], 84, 3)
    candidate = yolov8([[(0, 0.8, BOX), (0, 0.801, near)]], 84, 3)
    agreement = Detect(head="yolov8").agreement({"y": reference}, {"y": candidate}, Tolerance())
    assert agreement.breaches == []
    assert agreement.figures["unmatched_ratio"] == 0


def test_without_boxes_and_places_there_is_nothing_to_compare() -> None:
    empty = {"y": yolo_nms([[], []], 8)}
    (breach,) = NMS.agreement(empty, empty, Tolerance()).breaches
    assert "leaves nothing to compare: no image has a box with a score of 0.25" in breach


def test_outputs_that_are_missing_or_not_finite_are_breaches() -> None:
    reference = {"y": yolov8([[(0, 0.8, BOX)]] * 3, 84, 3)}
    assert Detect().agreement(reference, {}, Tolerance()).breaches == ["output y is missing"]
    lost = {"y": reference["y"].copy()}
    lost["y"][1, 0, 0] = np.nan
    (breach,) = Detect().agreement(reference, lost, Tolerance()).breaches
    assert "not finite for image 1" in breach
