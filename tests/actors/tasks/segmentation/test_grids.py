from __future__ import annotations

import numpy as np
import pytest

from actors.geometry import Geometry
from actors.preprocess import Preprocess, ResizeMode
from actors.tasks.segmentation.grids import GridAxis, grid_axes


def axes_of(preprocess: Preprocess, size_hw: tuple[int, int], grid_hw: tuple[int, int]) -> list[GridAxis]:
    return grid_axes(Geometry.of(preprocess, [size_hw]), 0, preprocess.size, grid_hw)


def test_a_grid_of_the_size_of_the_source_has_each_pixel_in_its_own_cell() -> None:
    for axis in axes_of(Preprocess(resize=None, crop=[6, 9]), (6, 9), (6, 9)):
        np.testing.assert_array_equal(axis.nearest, np.arange(axis.source))
        np.testing.assert_array_equal(axis.lower, np.arange(axis.source))
        assert not axis.weight.any()


def test_centres_of_pixels_lie_between_those_of_cells() -> None:
    rows, columns = axes_of(Preprocess(resize=[8, 8], crop=None), (4, 16), (2, 2))
    np.testing.assert_allclose(rows.lower + rows.weight, [0, 0.25, 0.75, 1])
    np.testing.assert_array_equal(columns.nearest, np.repeat([0, 1], 8))
    assert (rows.source, columns.source) == (4, 16)


def test_pixels_outside_of_a_crop_have_no_cell() -> None:
    rows, columns = axes_of(Preprocess(resize=10, crop=10), (20, 60), (5, 5))
    assert (rows.first, rows.stop) == (0, 20)
    assert (columns.first, columns.stop) == (20, 40)
    assert len(columns.lower) == len(columns.weight) == len(columns.nearest) == 20


@pytest.mark.parametrize("cells", [32, 16, 8])
def test_cells_of_padding_are_not_used(cells: int) -> None:
    letterbox = Preprocess(resize=32, crop=32, resize_mode=ResizeMode.longest_side)
    rows, columns = axes_of(letterbox, (40, 64), (cells, cells))  # 20 rows between two borders of 6
    used = np.unique(np.concatenate([rows.lower, rows.lower + (rows.weight > 0)]))
    assert used.min() == np.ceil(6 * cells / 32)
    assert used.max() == 26 * cells // 32 - 1
    assert (rows.first, rows.stop, columns.first, columns.stop) == (0, 40, 0, 64)


def test_a_picture_thinner_than_a_cell_has_one() -> None:
    letterbox = Preprocess(resize=32, crop=32, resize_mode=ResizeMode.longest_side)
    rows, _ = axes_of(letterbox, (1, 64), (4, 4))
    assert len(rows.lower) == 1
    assert 0 <= rows.lower[0] < 4
