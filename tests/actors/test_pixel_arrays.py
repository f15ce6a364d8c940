from __future__ import annotations

import numpy as np
import pytest
import torch

from actors.pixel_arrays import Pixels, find_flat, gathered, put, to_host

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), dtype=np.uint8)


@pytest.fixture(params=["array", "tensor", "gpu"])
def pixels_nhwc(request: pytest.FixtureRequest) -> Pixels:
    if request.param == "array":
        return IMAGES.copy()
    if request.param == "gpu" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    return torch.tensor(IMAGES, device="cuda" if request.param == "gpu" else "cpu")


def test_pixels_reach_memory_unchanged_and_arrays_are_not_copied(pixels_nhwc: Pixels) -> None:
    host = to_host(pixels_nhwc)
    np.testing.assert_array_equal(host, IMAGES)
    assert isinstance(pixels_nhwc, torch.Tensor) or host is pixels_nhwc


def test_images_take_the_places_of_others(pixels_nhwc: Pixels) -> None:
    put(pixels_nhwc, [1, 7], IMAGES[[0, 3]])
    np.testing.assert_array_equal(to_host(pixels_nhwc), IMAGES[[0, 0, 2, 3, 4, 5, 6, 3, 8]])


@pytest.mark.parametrize("rows", [[], [0], [2, 3, 8], list(range(9))])
def test_images_of_several_arrays_come_together_with_blank_ones_behind(pixels_nhwc: Pixels, rows: list[int]) -> None:
    arrays = [pixels_nhwc[:3], pixels_nhwc[3:3], pixels_nhwc[3:]]
    batch = to_host(gathered(arrays, np.array(rows, np.int64), 10))
    np.testing.assert_array_equal(batch[: len(rows)], IMAGES[rows])
    assert batch.shape == (10, 4, 5, 3)
    assert not batch[len(rows) :].any()


def test_images_of_one_colour_are_found(pixels_nhwc: Pixels) -> None:
    colours = np.stack([np.full((4, 5, 3), colour, np.uint8) for colour in (0, 255, (0, 135, 0))])
    stripes = np.tile(np.array([0, 1], np.uint8)[:, None, None], (2, 5, 3))
    put(pixels_nhwc, [0, 4, 5, 8], np.stack([*colours, stripes]))
    assert np.flatnonzero(find_flat(pixels_nhwc, (2, 2), (9, 9, 9))).tolist() == [0, 4, 5]
    assert find_flat(pixels_nhwc[:0], (2, 2), (9, 9, 9)).tolist() == []


def test_padding_does_not_hide_an_image_of_one_colour(pixels_nhwc: Pixels) -> None:
    padded, mixed = (np.full((4, 5, 3), (114, 114, 115), np.uint8) for _ in range(2))
    padded[1:3] = (0, 135, 0)
    mixed[1:3] = IMAGES[0, 1:3]
    put(pixels_nhwc, [2, 3], np.stack([padded, mixed]))
    assert np.flatnonzero(find_flat(pixels_nhwc, (2, 2), (114, 114, 115))).tolist() == [2]
    assert not find_flat(pixels_nhwc, (2, 2), (0, 0, 0)).any()
