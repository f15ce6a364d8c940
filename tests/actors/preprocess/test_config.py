from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from actors.errors import JobError
from actors.preprocess import Preprocess


@pytest.mark.parametrize("divisor", [2, 4, 8])
@pytest.mark.parametrize("mode", ["shorter_side", "longest_side"])
@pytest.mark.parametrize("resize", [1, 224, 256, 333, [40, 50]])
def test_a_scaled_image_is_resized_to_the_size_of_the_whole(resize: Any, mode: str, divisor: int) -> None:
    preprocess = Preprocess(resize=resize, resize_mode=mode)
    for height, width in np.random.default_rng(0).integers(1, 9999, (500, 2)).tolist():
        assert preprocess.resized(height / divisor, width / divisor) == preprocess.resized(height, width)


@pytest.mark.parametrize(
    ("resize", "image_hw", "resized_hw"),
    [
        (100, (50, 200), (25, 100)),
        (100, (200, 50), (100, 25)),
        (100, (30, 20), (100, 67)),
        ([60, 100], (50, 200), (25, 100)),
        ([60, 100], (200, 50), (60, 15)),
        (100, (1, 9000), (1, 100)),
    ],
)
def test_the_longest_side_fits_into_its_box(
    resize: Any, image_hw: tuple[int, int], resized_hw: tuple[int, int]
) -> None:
    assert Preprocess(resize=resize, resize_mode="longest_side").resized(*image_hw) == resized_hw


@pytest.mark.parametrize(
    ("resize", "crop", "size"),
    [
        (256, 224, (224, 224)),
        (256, [224, 192], (224, 192)),
        ([64, 48], None, (64, 48)),
        (None, 32, (32, 32)),
        ([300, 300], (7, 9), (7, 9)),
    ],
)
def test_the_size_is_fixed_by_the_config(resize: Any, crop: Any, size: tuple[int, int]) -> None:
    preprocess = Preprocess(resize=resize, crop=crop)
    preprocess.check()
    assert preprocess.size == size


@pytest.mark.parametrize("resize", [256, None])
def test_without_one_size_for_all_the_job_is_wrong(resize: int | None) -> None:
    preprocess = Preprocess(resize=resize, crop=None)
    with pytest.raises(
        JobError, match=rf"model\.preprocess\.crop=null with model\.preprocess\.resize={resize}"
    ) as caught:
        preprocess.check()
    assert "model.preprocess.crop" in caught.value.fix


def test_a_letterbox_needs_no_crop() -> None:
    assert Preprocess(resize=96, resize_mode="longest_side", crop=None).size == (96, 96)
    assert Preprocess(resize=[96, 64], resize_mode="longest_side", crop=None).size == (96, 64)


def test_the_input_of_a_network_has_its_channels_where_the_layout_says() -> None:
    assert Preprocess(crop=[8, 9]).input_shape == (3, 8, 9)
    assert Preprocess(crop=[8, 9], channels=1, layout="nhwc").input_shape == (8, 9, 1)


def test_a_new_key_changes_the_fingerprint_only_where_it_is_used() -> None:
    first = {"resize", "crop", "interpolation", "mean", "std"}
    assert (
        set(Preprocess().digested()) == set(Preprocess(rescale_factor=1 / 255, pad_color=(0, 0, 0)).digested()) == first
    )
    assert Preprocess(antialias=False, channels=3).digested().keys() - first == {"antialias"}


def test_a_file_that_takes_pixels_is_left_the_geometry() -> None:
    geometry = {"resize": 99, "resize_mode": "longest_side", "crop": 80, "crop_offset": "floor"}
    geometry |= {"interpolation": "nearest", "antialias": False, "pad_color": [1, 2, 3], "pad_position": "top_left"}
    rest = {"channels": 1, "layout": "nhwc", "mean": [0.3], "std": [0.4], "rescale_factor": 0.5}
    assert Preprocess(**geometry, **rest).for_pixels() == Preprocess(**geometry)
    others = {"resize_limit", "channel_order", "standardize"}
    assert {key.name for key in fields(Preprocess)} == geometry.keys() | rest.keys() | others
