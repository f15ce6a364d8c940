from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from PIL.ExifTags import Base

from actors.columns import HEIGHT, PIXELS, WIDTH, unpack_pixels
from actors.decoding.config import Decode
from actors.decoding.decode import decode_scaled
from actors.decoding.pixel_blocks import pixel_columns
from actors.geometry import Geometry
from actors.preprocess import Preprocess, ResizeMode, fit

MODES = [
    Preprocess(),
    Preprocess(resize=96, crop=128),  # black borders on all sides
    Preprocess(resize=100, crop=[131, 60]),  # borders above and below, one of them odd, and cropped left and right
    Preprocess(resize=[90, 140], crop=None),
    Preprocess(resize=[90, 141], crop=[64, 100]),
    Preprocess(resize=None, crop=257),
    Preprocess(resize=120, crop=None, resize_mode="longest_side"),
    Preprocess(resize=90, resize_limit=131, crop=131, pad_position="top_left"),
    Preprocess(resize=[100, 120], crop=131, resize_mode="longest_side", pad_position="top_left"),
]
DARK, BRIGHT = 40, 220


@pytest.mark.parametrize("preprocess", MODES, ids=str)
def test_a_mark_in_the_source_is_found_by_its_place_in_the_model_input(preprocess: Preprocess) -> None:
    random = np.random.default_rng(4)
    for height, width in [(256, 256), (90, 140), *random.integers(120, 900, (20, 2)).tolist(), (300, 2400)]:
        box = box_within(height, width, preprocess)
        fitted_hwc = fit(marked(height, width, box), preprocess)
        assert_found(box, fitted_hwc, Geometry.of(preprocess, [(height, width)]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("preprocess", MODES[:5], ids=str)
def test_boxes_are_in_pixels_of_the_upright_whole_image_however_it_was_decoded(
    preprocess: Preprocess, orientation: int
) -> None:
    divisors = set()
    for height, width in ((375, 500), (1496, 1104), (1503, 1109), (2400, 2000)):
        box = box_within(height, width, preprocess)
        data = jpeg_shown_as(marked(height, width, box), orientation)
        columns = pixel_columns([data], Decode(), preprocess)
        [fitted_hwc] = unpack_pixels(pa.chunked_array([columns[PIXELS]]), *preprocess.size)
        size_hw = (columns[HEIGHT][0].as_py(), columns[WIDTH][0].as_py())
        assert size_hw == (height, width)
        assert_found(box, fitted_hwc, Geometry.of(preprocess, [size_hw]))
        divisors.add(decode_scaled(data, Decode(), preprocess.resized).divisor)
    assert len(divisors) > 1


def test_boxes_of_a_batch_are_mapped_each_by_its_own_image_and_clipped_to_it() -> None:
    preprocess, sizes_hw = Preprocess(resize=[100, 100], crop=None), [(50, 200), (400, 100), (100, 100)]
    geometry = Geometry.of(preprocess, sizes_hw)
    boxes = np.array([10.0, 20.0, 30.0, 40.0])
    expected = np.array([[20, 10, 60, 20], [10, 80, 30, 160], [10, 20, 30, 40]])
    np.testing.assert_allclose(geometry.to_source(np.tile(boxes, (3, 1))), expected)
    np.testing.assert_allclose(geometry.to_source(np.tile(boxes, (3, 7, 1))), expected[:, None].repeat(7, axis=1))
    np.testing.assert_allclose(
        geometry.to_source(np.tile(boxes, (4, 1)), np.array([2, 0, 0, 1])), expected[[2, 0, 0, 1]]
    )
    beyond = geometry.to_source(np.tile([-9.0, -9.0, 999.0, 999.0], (3, 1)))
    np.testing.assert_array_equal(beyond, [[0, 0, width, height] for height, width in sizes_hw])
    assert np.isnan(geometry.to_source(np.full((3, 4), np.nan))).all()


def test_an_empty_batch_has_a_geometry() -> None:
    geometry = Geometry.of(Preprocess(), [])
    assert geometry.to_source(np.zeros((0, 4))).shape == (0, 4)
    assert geometry.to_source(np.zeros((0, 9, 4))).shape == (0, 9, 4)
    some = Geometry.of(Preprocess(), [(50, 60)])
    assert some.to_source(np.zeros((0, 4)), np.zeros(0, int)).shape == (0, 4)


@pytest.mark.parametrize("preprocess", MODES, ids=str)
def test_the_visible_part_is_what_is_not_padding(preprocess: Preprocess) -> None:
    for height, width in np.random.default_rng(5).integers(1, 600, (50, 2)).tolist():
        shown = fit(np.full((height, width, 3), BRIGHT, np.uint8), preprocess)[:, :, 0] > 0
        left, top, right, bottom = Geometry.of(preprocess, [(height, width)]).visible_xyxy[0]
        assert shown[top:bottom, left:right].all()
        assert shown.sum() == (bottom - top) * (right - left)


def assert_found(box_xyxy: np.ndarray, fitted_hwc: np.ndarray, geometry: Geometry) -> None:
    found = geometry.to_source(bright_box(fitted_hwc)[None])[0]
    most = 0.1 * geometry.scale[0].max() + 0.1  # a tenth of a pixel in either image, for rounding and JPEG
    assert np.abs(found - box_xyxy).max() <= most, (found, box_xyxy)


def box_within(height: int, width: int, preprocess: Preprocess) -> np.ndarray:
    """Returns the corners of an off-centre rectangle of whole pixels within the crop."""
    geometry = Geometry.of(preprocess, [(height, width)])
    left, top, right, bottom = geometry.to_source(geometry.visible_xyxy)[0]
    xs, ys = (
        start + np.array(shares) * (stop - start)
        for start, stop, shares in ((left, right, (0.25, 0.65)), (top, bottom, (0.3, 0.85)))
    )
    return np.array([xs[0], ys[0], xs[1], ys[1]]).round().astype(int)


def marked(height: int, width: int, box_xyxy: np.ndarray) -> np.ndarray:
    image_hwc = np.full((height, width, 3), DARK, np.uint8)
    left, top, right, bottom = box_xyxy
    image_hwc[top:bottom, left:right] = BRIGHT
    return image_hwc


def bright_box(fitted_hwc: np.ndarray) -> np.ndarray:
    """Returns the corners of the bright rectangle in a resized image, from the brightness of its edge pixels."""
    share_hw = np.clip((fitted_hwc[:, :, 0].astype(float) - DARK) / (BRIGHT - DARK), 0, 1)
    middle_y, middle_x = (int(places.mean()) for places in np.nonzero(share_hw > 0.5))
    row, column = share_hw[middle_y], share_hw[:, middle_x]
    starts = [middle - line[:middle].sum() for line, middle in ((row, middle_x), (column, middle_y))]
    stops = [middle + line[middle:].sum() for line, middle in ((row, middle_x), (column, middle_y))]
    return np.array([*starts, *stops])


def jpeg_shown_as(image_hwc: np.ndarray, orientation: int) -> bytes:
    """Encodes a JPEG that a viewer displays as ``image_hwc`` after it applies ``orientation``."""
    stored = Image.fromarray(image_hwc)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    if orientation in undo:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    written = io.BytesIO()
    stored.save(written, "JPEG", quality=95, exif=exif)
    return written.getvalue()


def test_the_shown_part_of_a_picture_is_all_but_what_the_crop_takes_away() -> None:
    letterbox = Preprocess(resize=64, crop=None, resize_mode=ResizeMode.longest_side)
    assert Geometry.of(letterbox, [(50, 100), (64, 64)]).shown.tolist() == [[0, 0, 100, 50], [0, 0, 64, 64]]
    cropped = Geometry.of(Preprocess(resize=None, crop=10), [(30, 20), (8, 8)])
    assert cropped.shown.tolist() == [[5, 10, 15, 20], [0, 0, 8, 8]]
