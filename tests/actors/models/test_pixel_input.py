from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from model_inputs import CASES, HEIGHT, PIXELS_NHWC, WIDTH, expected_numbers, make_preprocess

from actors.models.pixel_input import PixelInput


@pytest.mark.parametrize("keys", CASES, ids=str)
def test_pixels_become_what_the_model_takes(keys: dict[str, Any]) -> None:
    preprocess = make_preprocess(**keys)
    found = PixelInput(preprocess)(torch.from_numpy(PIXELS_NHWC.copy()))
    assert found.dtype is torch.float32
    np.testing.assert_allclose(found, expected_numbers(preprocess), atol=2e-6)


def test_an_image_of_one_colour_stays_finite() -> None:
    layer = PixelInput(make_preprocess(standardize="per_image"))
    pixels_nhwc = torch.full((1, HEIGHT, WIDTH, 3), 9, dtype=torch.uint8)
    torch.testing.assert_close(layer(pixels_nhwc), torch.zeros(1, HEIGHT, WIDTH, 3), atol=1e-5, rtol=0)
