from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from actors.geometry import Geometry
from actors.preprocess import Preprocess, ResizeMode
from actors.tasks.segmentation.class_maps import argmax, count_classes, map_classes, map_logits, void_of
from actors.tasks.segmentation.grids import GridAxis, grid_axes

RANDOM = np.random.default_rng(3)


def axes_of(preprocess: Preprocess, size_hw: tuple[int, int], grid_hw: tuple[int, ...]) -> list[GridAxis]:
    return grid_axes(Geometry.of(preprocess, [size_hw]), 0, preprocess.size, (grid_hw[-2], grid_hw[-1]))


def noise(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def smooth(*shape: int) -> np.ndarray:
    coarse = torch.from_numpy(noise(1, shape[0], max(2, shape[1] // 8), max(2, shape[2] // 8)))
    fine: np.ndarray = interpolate(coarse, size=shape[1:], mode="bicubic")[0].numpy()
    return fine


def assert_equal_but_for_ties(class_map: np.ndarray, logits_chw: np.ndarray) -> None:
    """Compares with the argmax of logits at the size of the map, except for ties."""
    expected = logits_chw.argmax(axis=0)
    y, x = np.nonzero(class_map != expected)
    lead = logits_chw[expected[y, x], y, x] - logits_chw[class_map[y, x], y, x]
    assert lead.max(initial=0) <= 1e-5
    assert len(y) <= 1e-4 * class_map.size


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (90, 60), (375, 500), (700, 900)])
@pytest.mark.parametrize("logits", [noise(5, 24, 24), smooth(21, 64, 64), smooth(300, 32, 32), noise(2, 100, 120)])
def test_maps_equal_the_argmax_of_interpolated_logits(logits: np.ndarray, size: tuple[int, int]) -> None:
    class_map = map_logits(logits, axes_of(Preprocess(resize=[256, 192], crop=None), size, logits.shape))
    plain = interpolate(torch.from_numpy(logits)[None], size=size, mode="bilinear", align_corners=False)[0].numpy()
    assert class_map.dtype == (np.uint8 if len(logits) < 256 else np.uint16)
    assert_equal_but_for_ties(class_map, plain)


def test_a_large_picture_is_drawn_in_strips_without_seams() -> None:
    logits = smooth(6, 40, 40)
    size = (1500, 2000)
    class_map = map_logits(logits, axes_of(Preprocess(resize=[160, 160], crop=None), size, logits.shape))
    plain = interpolate(torch.from_numpy(logits)[None], size=size, mode="bilinear", align_corners=False)[0].numpy()
    assert_equal_but_for_ties(class_map, plain)


def test_a_letterbox_equals_interpolation_of_the_part_with_the_picture() -> None:
    letterbox = Preprocess(resize=64, crop=64, resize_mode=ResizeMode.longest_side)
    logits = noise(4, 64, 64)
    class_map = map_logits(logits, axes_of(letterbox, (150, 300), logits.shape))
    inner = torch.from_numpy(logits[:, 16:48].copy())[None]
    plain = interpolate(inner, size=(150, 300), mode="bilinear", align_corners=False)[0].numpy()
    assert_equal_but_for_ties(class_map, plain)


def test_what_a_crop_removed_is_void() -> None:
    logits = smooth(4, 16, 16)
    class_map = map_logits(logits, axes_of(Preprocess(resize=64, crop=64), (100, 300), logits.shape))
    assert (class_map[:, :100] == 255).all()
    assert (class_map[:, 200:] == 255).all()
    plain = interpolate(torch.from_numpy(logits)[None], size=(100, 100), mode="bilinear", align_corners=False)[0]
    assert_equal_but_for_ties(class_map[:, 100:200], plain.numpy())


def test_of_equal_logits_the_lower_class_wins() -> None:
    logits = np.zeros((3, 4, 4), np.float32)
    logits[0, 0] = -1
    class_map = map_logits(logits, axes_of(Preprocess(resize=[4, 4], crop=None), (8, 8), logits.shape))
    assert set(np.unique(class_map)) == {0, 1}
    assert (class_map[4:] == 0).all()


def test_classes_go_to_the_pixels_of_their_cells() -> None:
    ids = RANDOM.integers(0, 9, (20, 30))
    class_map = map_classes(ids, axes_of(Preprocess(resize=[20, 30], crop=None), (60, 60), ids.shape), 9)
    np.testing.assert_array_equal(class_map, ids.repeat(3, axis=0).repeat(2, axis=1))


def test_numbers_that_are_no_class_become_void() -> None:
    ids = np.array([[0, -1, 7, 8, 255, 10**6]])
    class_map = map_classes(ids, axes_of(Preprocess(resize=[1, 6], crop=None), (1, 6), ids.shape), 8)
    np.testing.assert_array_equal(class_map, [[0, 255, 7, 255, 255, 255]])
    assert (void_of(255), void_of(256)) == (255, 65_535)


def test_argmax_is_that_of_numpy() -> None:
    logits = noise(7, 13, 17).round(1)
    np.testing.assert_array_equal(argmax(logits), logits.argmax(axis=0))


def test_counts_are_those_of_all_strips() -> None:
    class_map = RANDOM.integers(0, 12, (1200, 1100), np.uint8)
    np.testing.assert_array_equal(count_classes(class_map), np.bincount(class_map.ravel()))
