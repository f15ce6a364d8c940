from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from actors.predicting.block_images import BlockImages

PIXELS = np.random.default_rng(0).integers(1, 256, (20, 4, 6, 3), dtype=np.uint8)


def cut(*borders: int) -> list[np.ndarray]:
    """Returns the same images in several read-only arrays."""
    arrays = [PIXELS[start:stop].copy() for start, stop in pairwise((0, *borders, 20))]
    for array in arrays:
        array.flags.writeable = False
    return arrays


@pytest.mark.parametrize("borders", [(), (8,), (8, 16), (0, 5, 5, 6, 20)])
def test_a_batch_holds_the_images_wherever_they_lie(borders: tuple[int, ...]) -> None:
    images = BlockImages(cut(*borders))
    chance = np.random.default_rng(1)
    for number in range(1, 21):
        for rows in (np.sort(chance.choice(20, number, replace=False)), np.arange(20 - number, 20)):
            batch = images.batch(rows, 20)
            assert (batch.shape, batch.dtype) == (PIXELS.shape, np.uint8)
            np.testing.assert_array_equal(batch[:number], PIXELS[rows])
            assert not batch[number:].any()
            np.testing.assert_array_equal(images.batch(rows, number), PIXELS[rows])


@pytest.mark.parametrize(("start", "stop", "is_copied"), [(0, 8, False), (9, 12, False), (16, 20, False), (7, 9, True)])
def test_what_lies_in_a_row_in_one_array_is_not_copied(start: int, stop: int, is_copied: bool) -> None:  # noqa: FBT001
    arrays = cut(8, 16)
    batch = BlockImages(arrays).batch(np.arange(start, stop), stop - start)
    assert any(np.shares_memory(batch, array) for array in arrays) is not is_copied


def test_tensors_give_the_same_batches_on_their_device() -> None:
    arrays = cut(8, 16)
    images, tensors = BlockImages(arrays), BlockImages([torch.from_numpy(array.copy()) for array in arrays])
    for rows, size in ((np.array([0, 2, 9, 19]), 6), (np.arange(7, 9), 2), (np.arange(16, 20), 4)):
        batch = tensors.batch(rows, size)
        assert isinstance(batch, torch.Tensor)
        np.testing.assert_array_equal(batch.numpy(), images.batch(rows, size))


def test_images_that_lie_apart_and_blank_ones_are_a_copy() -> None:
    arrays = cut(8, 16)
    for rows, size in ((np.array([0, 2]), 2), (np.arange(3), 4)):
        assert not np.shares_memory(BlockImages(arrays).batch(rows, size), arrays[0])
