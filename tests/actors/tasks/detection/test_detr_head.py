from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torchvision_operators  # noqa: F401  before transformers, which imports torchvision
import transformers
from transformers.modeling_outputs import ModelOutput

from actors.errors import JobError
from actors.tasks.base import Outputs
from actors.tasks.detection.detr_head import DetrHead, SigmoidDetrHead

HEADS = {
    "Detr": DetrHead(),
    "Yolos": DetrHead(),
    "ConditionalDetr": SigmoidDetrHead(),
    "DeformableDetr": SigmoidDetrHead(),
    "RTDetr": SigmoidDetrHead(),
}
INPUT_HW = (40, 60)


@pytest.mark.parametrize("kind", HEADS)
def test_boxes_are_those_of_transformers(kind: str) -> None:
    tensors = _tensors()
    found = HEADS[kind].candidates(tensors, INPUT_HW, threshold=0.3)
    outputs: Any = ModelOutput({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    processor = getattr(transformers, f"{kind}ImageProcessor")()
    settings = {"top_k": 7} if kind in ("ConditionalDetr", "DeformableDetr") else {}  # by default 100 of 300 queries
    expected = processor.post_process_object_detection(outputs, 0.3, [INPUT_HW] * 3, **settings)
    assert len(found) == sum(len(one["scores"]) for one in expected) > 6
    for image, one in enumerate(expected):
        mine = found.take(np.flatnonzero(found.images == image))
        mine, order = mine.take(np.argsort(-mine.scores)), one["scores"].argsort(descending=True)
        np.testing.assert_allclose(mine.scores, one["scores"][order], rtol=1e-5)
        np.testing.assert_array_equal(mine.label_ids, one["labels"][order])
        np.testing.assert_allclose(mine.boxes_xyxy, one["boxes"][order], rtol=1e-4, atol=1e-4)
        widths = tensors["pred_boxes"][image, mine.places, 2] * INPUT_HW[1]
        np.testing.assert_allclose(mine.boxes_xyxy[:, 2] - mine.boxes_xyxy[:, 0], widths, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("names", [("logits", "pred_boxes"), ("pred_logits", "pred_boxes"), ("labels", "dets")])
def test_the_number_of_labels_tells_softmax_from_sigmoid(names: tuple[str, str]) -> None:
    outputs = Outputs.of(dict(zip(names, _tensors().values(), strict=True)))
    assert DetrHead().output_names(outputs) == list(names)
    fitting = {
        num_labels: [head.name for head in (DetrHead(), SigmoidDetrHead()) if head.recognises(outputs, labels)]
        for num_labels, labels in {number: ["x"] * number for number in (3, 4, 5)}.items()
    }
    assert fitting == {3: [], 4: ["detr"], 5: ["detr_sigmoid"]}
    assert DetrHead().recognises(outputs, None)
    assert SigmoidDetrHead().recognises(outputs, None)


def test_other_shapes_are_not_recognised() -> None:
    tensors = _tensors()
    for changed in ({"pred_boxes": tensors["pred_boxes"][:, :5]}, {"logits": tensors["logits"][:, 0]}):
        assert not DetrHead().recognises(Outputs.of({**tensors, **changed}), None)
    assert DetrHead().output_names(Outputs.of({"logits": tensors["logits"]})) == []


@pytest.mark.parametrize("head", [DetrHead(), SigmoidDetrHead()])
@pytest.mark.parametrize("name", ["logits", "pred_boxes"])
def test_an_image_with_a_number_that_is_not_finite_is_invalid(head: Any, name: str) -> None:
    tensors = _tensors()
    tensors[name][1, 2, 3] = np.nan
    found = head.candidates(tensors, INPUT_HW, threshold=0)
    assert found.valid.tolist() == [True, False, True]
    assert set(found.images) == {0, 2}


def test_queries_in_another_order_agree() -> None:
    tensors = _tensors()
    swapped = {name: tensor[:, ::-1] for name, tensor in tensors.items()}
    for name, part in SigmoidDetrHead().parts(tensors).items():
        np.testing.assert_array_equal(part, SigmoidDetrHead().parts(swapped)[name])


def test_boxes_in_pixels_are_refused() -> None:
    tensors = _tensors()
    DetrHead().check(tensors)
    with pytest.raises(JobError, match=r"task.head=detr: the boxes in the model's output pred_boxes reach"):
        DetrHead().check({**tensors, "pred_boxes": 40 * tensors["pred_boxes"]})


def _tensors() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (3, 7, 5)).astype(np.float32)
    return {"logits": logits, "pred_boxes": random.random((3, 7, 4), np.float32)}
