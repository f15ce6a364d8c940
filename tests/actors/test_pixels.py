from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from photos import jpeg

from actors.columns import DECODE_S, ERROR, MESSAGE, PIXELS, STAGE, unpack_pixels
from actors.decode import Decode, decode, decode_scaled
from actors.errors import ImageError
from actors.pixels import pixel_columns
from actors.preprocess import Preprocess, fit

PREPROCESS = Preprocess(resize=40, crop=32)
LIMITS = Decode()


def test_good_and_bad_images_keep_their_places() -> None:
    array = np.full((50, 60, 3), 9, np.uint8)
    images = [jpeg(0), b"no image", array, ImageError("read", "not_found", "gone"), np.zeros((4, 4), np.uint8)]
    columns = pixel_columns(images, LIMITS, PREPROCESS)
    pixels = unpack_pixels(pa.chunked_array([columns[PIXELS]]), 32, 32)
    decoded = decode_scaled(images[0], LIMITS, PREPROCESS.resized)
    np.testing.assert_array_equal(pixels[0], fit(decoded.image_hwc, PREPROCESS, decoded.extent))
    np.testing.assert_array_equal(pixels[2], 9)
    assert not pixels[[1, 3, 4]].any()
    assert columns[STAGE].to_pylist() == [None, "decode", None, "read", "decode"]
    assert columns[ERROR].to_pylist() == [None, "unidentified", None, "not_found", "unsupported"]
    assert columns[MESSAGE][3].as_py() == "gone"
    assert all(seconds >= 0 for seconds in columns[DECODE_S].to_pylist())


def test_no_images_at_all() -> None:
    columns = pixel_columns([], LIMITS, PREPROCESS)
    assert {len(column) for column in columns.values()} == {0}


@pytest.mark.parametrize("is_scaled", [True, False])
def test_large_images_are_scaled_unless_that_is_switched_off(is_scaled: bool) -> None:  # noqa: FBT001
    data = jpeg(0)
    columns = pixel_columns([data], Decode(scaled=is_scaled), PREPROCESS)
    pixels = unpack_pixels(pa.chunked_array([columns[PIXELS]]), 32, 32)
    differences = np.abs(pixels[0].astype(int) - fit(decode(data, LIMITS), PREPROCESS))
    assert bool(differences.any()) == is_scaled
    assert differences.max() <= 8
