from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision_operators  # noqa: F401  before torchvision

from actors.tasks.segmentation.instance_masks import encode_instance
from actors.tasks.segmentation.run_lengths import decode

paste = pytest.importorskip("torchvision.models.detection.roi_heads").paste_masks_in_image
RANDOM = np.random.default_rng(1)
BOXES = {
    "inside": [20.3, 30.6, 90.2, 70.9],
    "a pixel": [5.2, 6.7, 5.9, 7.1],
    "the whole picture": [0, 0, 200, 120],
    "over two edges": [150.5, 80.2, 200, 120],
    "beyond the picture": [-30.5, -20.1, 60.3, 300.7],
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("side", [14, 28])
def test_masks_are_those_that_torchvision_pastes(box: list[float], side: int) -> None:
    mask, corners = RANDOM.random((side, side)).astype(np.float32), np.array(box)
    boxes = torch.from_numpy(corners.astype(np.float32))[None]
    expected = paste(torch.from_numpy(mask)[None, None], boxes, (120, 200))[0, 0].numpy()
    counts = encode_instance(mask, corners, 120, 200)
    differs = decode(counts, (120, 200)) != (expected > 0.5)
    assert np.abs(expected[differs] - 0.5).max(initial=0) < 1e-6
    assert differs.sum() < 5


def test_a_box_outside_of_the_picture_has_no_pixels() -> None:
    counts = encode_instance(np.ones((28, 28), np.float32), np.array([300.0, 10, 350, 40]), 120, 200)
    assert not decode(counts, (120, 200)).any()


def test_a_large_mask_is_drawn_in_strips() -> None:
    mask = np.ones((28, 28), np.float32)
    covered = decode(encode_instance(mask, np.array([0.0, 0, 2000, 1500]), 1500, 2000), (1500, 2000))
    assert covered.mean() > 0.99
