from __future__ import annotations

import pytest

from actors.preprocess import Axis


@pytest.mark.parametrize("length", range(5, 12))
def test_a_crop_starts_where_the_libraries_start_it(length: int) -> None:
    wanted = 4
    rounded, floored = (Axis.plan(length, length, wanted, is_floored=is_floored) for is_floored in (False, True))
    assert rounded.start == int(round((length - wanted) / 2.0))  # noqa: RUF046  as torchvision writes it
    assert floored.start == int((length - wanted) / 2.0)  # as transformers does
    assert rounded.stop - rounded.start == floored.stop - floored.start == wanted


def test_an_odd_border_goes_after_the_image_and_a_whole_one_where_asked() -> None:
    assert Axis.plan(5, 5, 8).shown == slice(1, 6)
    assert Axis.plan(5, 5, 8, at_start=True).shown == slice(0, 5)


def test_the_kept_part_needs_few_pixels_of_the_source() -> None:
    axis = Axis.plan(1000, 500, 100)
    assert (axis.start, axis.stop, axis.first, axis.last, axis.scale) == (200, 300, 395, 605, 2)
    assert axis.box == (5, 205)
    assert Axis.plan(1000, 500, 100, reach=3).first == 393
    assert Axis.plan(10, 5000, 100).is_strip
    assert not Axis.plan(10, 500, 100).is_strip


def test_the_whole_axis_keeps_all_of_the_resize() -> None:
    whole = Axis.plan(99.5, 50, 20).whole
    assert (whole.start, whole.stop, whole.first, whole.last, whole.box) == (0, 50, 0, 100, (0, 99.5))
