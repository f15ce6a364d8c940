from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco

from actors.tasks.segmentation.run_lengths import decode, encode, encode_classes, encode_crop, encode_runs, lookup

# pycocotools 2.0.11 itself emits this warning under NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RANDOM = np.random.default_rng(0)


def by_pycocotools(mask_hw: np.ndarray) -> bytes:
    counts: bytes = coco.encode(np.asfortranarray(mask_hw.astype(np.uint8)))["counts"]
    return counts


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (37, 53), (301, 200)])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99, 1])
def test_masks_are_encoded_as_by_pycocotools_and_decoded_again(size: tuple[int, int], share: float) -> None:
    mask = RANDOM.random(size) < share
    counts = encode(mask)
    assert counts == by_pycocotools(mask)
    np.testing.assert_array_equal(decode(counts, size), mask)
    np.testing.assert_array_equal(decode(counts.decode(), size), mask)
    np.testing.assert_array_equal(coco.decode({"size": list(size), "counts": counts}), mask)


def test_runs_of_millions_of_pixels() -> None:
    mask = np.zeros((3000, 4000), bool)
    mask[:, 1000:3999] = True
    mask[7, :1000] = True
    assert encode(mask) == by_pycocotools(mask)
    np.testing.assert_array_equal(decode(encode(mask), mask.shape), mask)


@pytest.mark.parametrize("top_left", [(0, 0), (3, 5), (20, 0), (0, 30)])
def test_a_crop_is_encoded_as_the_whole_mask(top_left: tuple[int, int]) -> None:
    crop = RANDOM.random((20, 10)) < 0.5
    mask = np.zeros((40, 40), bool)
    mask[top_left[0] : top_left[0] + 20, top_left[1] : top_left[1] + 10] = crop
    assert encode_crop(crop, top_left, 40, 40) == by_pycocotools(mask)


def test_a_crop_of_full_height_has_runs_across_columns() -> None:
    mask = np.zeros((5, 8), bool)
    mask[:, 2:6] = True
    assert encode_crop(mask[:, 2:6], (0, 2), 5, 8) == by_pycocotools(mask)
    assert encode_crop(np.ones((0, 3), bool), (0, 0), 5, 8) == by_pycocotools(np.zeros((5, 8), bool))


def test_each_class_of_a_map_is_a_mask() -> None:
    class_map = RANDOM.integers(0, 5, (6, 7)).repeat(9, axis=0).repeat(4, axis=1).astype(np.uint8) * 60
    masks = encode_classes(class_map)
    assert list(masks) == [0, 60, 120, 180, 240]
    for class_id, counts in masks.items():
        assert counts == by_pycocotools(class_map == class_id)


def test_runs_that_touch_become_one() -> None:
    counts = encode_runs(np.array([2, 4, 8]), np.array([4, 6, 9]), 10)
    np.testing.assert_array_equal(decode(counts, (1, 10))[0].astype(int), [0, 0, 1, 1, 1, 1, 0, 0, 1, 0])


def test_lengths_that_do_not_fit_the_size_are_refused() -> None:
    with pytest.raises(ValueError, match="run lengths of 16 pixels for a mask of 3 by 5"):
        decode(encode(np.ones((4, 4), bool)), (3, 5))


@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_single_pixels_are_looked_up_without_the_mask(share: float) -> None:
    mask = RANDOM.random((31, 47)) < share
    columns, rows = RANDOM.integers(0, 47, (5, 9)), RANDOM.integers(0, 31, (5, 9))
    np.testing.assert_array_equal(lookup(encode(mask), columns * 31 + rows), mask[rows, columns])
    assert not lookup(b"", np.arange(4)).any()
    assert not lookup(encode(mask), np.array([31 * 47, 1 << 40])).any()
