from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from actors.preprocess import Preprocess, scale_and_bias
from actors.preprocess.normalisation import GREY_HALF, GREY_SCALE, GREY_WEIGHTS, least_deviation


def test_scale_and_bias_normalise_as_mean_and_std_do() -> None:
    preprocess = Preprocess(mean=[0.1, 0.2, 0.3], std=[0.5, 1.0, 0.25])
    scale, bias = scale_and_bias(preprocess)
    assert (scale.dtype, scale.shape, bias.dtype, bias.shape) == (np.float32, (3,), np.float32, (3,))
    pixels = np.arange(256, dtype=np.float32)[:, None]
    expected = (pixels.astype(np.float64) / 255 - preprocess.mean) / preprocess.std
    np.testing.assert_allclose(pixels * scale + bias, expected, atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 1 / 127.5])
def test_mean_and_std_are_for_pixels_times_the_factor(factor: float) -> None:
    scale, bias = scale_and_bias(Preprocess(mean=[0.5], std=[0.25], channels=1, rescale_factor=factor))
    assert (scale.shape, bias.shape) == ((1,), (1,))
    np.testing.assert_allclose(200 * scale + bias, (200 * factor - 0.5) / 0.25, rtol=1e-6)


def test_grey_is_that_of_pillow_for_all_colours() -> None:
    levels = np.arange(0, 256, 5, np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    colours = np.concatenate([colours, np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)], axis=1)
    grey = np.floor(
        ((colours.astype(np.float32) * GREY_WEIGHTS).sum(-1) + np.float32(GREY_HALF)) * np.float32(GREY_SCALE)
    )
    np.testing.assert_array_equal(grey, np.asarray(Image.fromarray(colours).convert("L")))


def test_the_least_deviation_is_that_of_one_level_in_the_whole_image() -> None:
    assert least_deviation(Preprocess(crop=[10, 40], channels=1, mean=[0], std=[1])) == pytest.approx(1 / 20)
