from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from actors.columns import pack_pixels, unpack_pixels

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), np.uint8)


def test_pixels_come_back_without_a_copy() -> None:
    column = pa.chunked_array([pack_pixels(PIXELS)])
    back = unpack_pixels(column, 4, 5)
    np.testing.assert_array_equal(back, PIXELS)
    assert np.shares_memory(back, PIXELS)


@pytest.mark.parametrize(("start", "length"), [(0, 3), (2, 4), (6, 1), (3, 0)])
def test_slices_keep_their_rows(start: int, length: int) -> None:
    column = pa.chunked_array([pack_pixels(PIXELS).slice(start, length)])
    np.testing.assert_array_equal(unpack_pixels(column, 4, 5), PIXELS[start : start + length])


def test_several_chunks_are_joined_in_order() -> None:
    array = pack_pixels(PIXELS)
    column = pa.chunked_array([array.slice(5), array.slice(0, 2)])
    np.testing.assert_array_equal(unpack_pixels(column, 4, 5), PIXELS[[5, 6, 0, 1]])
