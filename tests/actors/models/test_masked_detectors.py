from __future__ import annotations

from typing import TYPE_CHECKING

import hub_folders
import numpy as np
import pytest
import torch
import transformers
from conventions import model_input
from photos import photo

from actors.geometry import Geometry
from actors.models.masked_detectors import MaskedDetector, takes_mask
from actors.models.network import build_network
from actors.models.sources.registry import model_from
from actors.preprocess import Preprocess
from actors.tasks.detection.detr_head import DetrHead

if TYPE_CHECKING:
    from pathlib import Path

SIZES_HW = [(32, 32), (32, 60), (48, 32), (64, 32)]  # the shorter side has the processor's size


@pytest.fixture
def detr(tmp_path: Path) -> transformers.DetrForObjectDetection:
    torch.manual_seed(0)
    return hub_folders.detr(tmp_path / "detr").eval()


def test_boxes_of_pictures_of_several_shapes_are_those_of_transformers(
    detr: transformers.DetrForObjectDetection, tmp_path: Path
) -> None:
    pictures = [photo(number, height=height, width=width) for number, (height, width) in enumerate(SIZES_HW)]
    processor = transformers.DetrImageProcessor.from_pretrained(tmp_path / "detr")
    with torch.no_grad():
        outputs = detr(**processor(pictures, return_tensors="pt"))
    expected = processor.post_process_object_detection(outputs, 0.0, SIZES_HW)

    model = model_from(str(tmp_path / "detr"))
    assert model.labels == ["cat", "dog", "owl"]
    network = build_network(model)
    assert isinstance(network, MaskedDetector)
    pixels_nchw = torch.stack([model_input(np.asarray(picture), model.preprocess) for picture in pictures])
    tensors = {name: tensor.numpy() for name, tensor in network(pixels_nchw).items()}
    found = DetrHead().candidates(tensors, model.preprocess.size, threshold=0)
    boxes = Geometry.of(model.preprocess, SIZES_HW).to_source(found.boxes_xyxy, found.images)
    for image, one in enumerate(expected):
        mine, (height, width) = found.images == image, SIZES_HW[image]
        np.testing.assert_allclose(found.scores[mine], one["scores"], atol=2e-3)
        np.testing.assert_array_equal(found.label_ids[mine], one["labels"])
        limits = np.array([width, height] * 2)
        np.testing.assert_allclose(boxes[mine], np.clip(one["boxes"].numpy(), 0, limits), atol=0.1)
    assert len({tuple(box) for box in boxes.round(1)}) > 10


def test_the_border_is_what_the_pixels_do_not_show(detr: transformers.DetrForObjectDetection) -> None:
    preprocess = Preprocess(resize=32, resize_limit=64, crop=64, pad_position="top_left", pad_color=[124, 116, 104])
    image_hwc = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    image_hwc[10:20] = preprocess.pad_color  # also occurs inside the picture
    pixels_nchw = model_input(image_hwc, preprocess)[None]
    mask = torch.zeros(1, 64, 64, dtype=torch.int64)
    mask[:, :32, :48] = 1
    with torch.no_grad():
        expected = detr(pixel_values=pixels_nchw, pixel_mask=mask)
        outputs = MaskedDetector(detr, preprocess)(pixels_nchw)
    torch.testing.assert_close(outputs["logits"], expected.logits)
    shares = torch.tensor([48, 32, 48, 32]) / 64
    torch.testing.assert_close(outputs["pred_boxes"], expected.pred_boxes * shares)


def test_an_image_of_the_border_alone_has_finite_answers(detr: transformers.DetrForObjectDetection) -> None:
    preprocess = Preprocess(resize=32, crop=64, pad_position="top_left", pad_color=[124, 116, 104], channel_order="bgr")
    pixels_nchw = model_input(np.full((64, 64, 3), preprocess.pad_color, np.uint8), preprocess)[None]
    with torch.no_grad():
        outputs = MaskedDetector(detr, preprocess)(pixels_nchw)
    assert all(tensor.isfinite().all() for tensor in outputs.values())
    assert outputs["pred_boxes"].max() <= 1 / 64


def test_only_detectors_of_visible_parts_take_a_mask() -> None:
    boxed, squashed = Preprocess(pad_position="top_left"), Preprocess(resize=[64, 64], crop=None)
    assert takes_mask("transformers:DetrForObjectDetection", boxed)
    assert not takes_mask("transformers:DetrForObjectDetection", squashed)
    assert not takes_mask("transformers:RTDetrForObjectDetection", boxed)
