from __future__ import annotations

import functools
import math
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conventions import CONVENTIONS, LIMITS, differences, table
from photos import photo
from PIL import Image

from actors.preprocess import Interpolation, Preprocess, fit, resizers

SIZES = [(375, 500), (500, 375), (224, 224), (256, 255), (31, 47), (600, 190), (1, 1), (7, 1), (900, 1201)]
STRIPS = [(40, 1500), (1500, 40), (1, 300), (700, 2), (300, 3001)]
GEOMETRIES = [
    {},
    {"resize": [224, 224], "crop": None},
    {"resize": [90, 290], "crop": [80, 100]},
    {"resize": 128, "crop": 224},
    {"resize": None, "crop": 225},
    {"resize": 310, "crop": [311, 100]},
]


@functools.cache
def picture(height: int, width: int) -> Image.Image:
    return photo(3, height=max(height, 9), width=max(width, 9)).crop((0, 0, width, height))


def fit_by_pillow(image: Image.Image, preprocess: Preprocess) -> np.ndarray:
    """Applies Pillow's resize and torchvision's Resize and CenterCrop, following their documentation."""
    width, height = image.size
    resize = preprocess.resize
    if isinstance(resize, int):
        short = min(width, height)
        resize = [int(resize * height / short), int(resize * width / short)]
    if resize:
        image = image.resize(resize[::-1], Image.Resampling[preprocess.interpolation.name.upper()])
    pixels = np.asarray(image)
    wanted = preprocess.size
    missing = [max(0, side - length) for side, length in zip(wanted, pixels.shape, strict=False)]
    pixels = np.pad(pixels, [*((lack // 2, (lack + 1) // 2) for lack in missing), (0, 0)])
    top, left = (round((length - side) / 2) for side, length in zip(wanted, pixels.shape, strict=False))
    return pixels[top : top + wanted[0], left : left + wanted[1]]


@pytest.fixture(params=[True, False], ids=["simd", "pillow"])
def _each_resizer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.preprocess.resizers._HAS_SIMD", request.param and resizers._HAS_SIMD)


def assert_like_pillow(size: tuple[int, int], preprocess: Preprocess, *, most_on_average: float = 0.02) -> None:
    fitted = fit(np.asarray(picture(*size)), preprocess)
    differences = np.abs(fitted.astype(int) - fit_by_pillow(picture(*size), preprocess))
    assert fitted.shape == (*preprocess.size, 3)
    assert fitted.dtype == np.uint8
    assert fitted.flags.c_contiguous
    assert differences.max() <= 2
    assert differences.mean() <= most_on_average


@pytest.mark.usefixtures("_each_resizer")
@pytest.mark.parametrize("interpolation", [Interpolation.bilinear, Interpolation.bicubic])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("size", SIZES)
def test_an_image_is_as_pillow_would_make_it(
    size: tuple[int, int], geometry: dict[str, Any], interpolation: Interpolation
) -> None:
    assert_like_pillow(size, Preprocess(**geometry, interpolation=interpolation))


@pytest.mark.usefixtures("_each_resizer")
@pytest.mark.parametrize("interpolation", [method for method in Interpolation if method is not Interpolation.box])
@pytest.mark.parametrize("geometry", [{}, {"resize": 128, "crop": 224}, {"resize": [224, 90], "crop": None}])
@pytest.mark.parametrize("size", STRIPS)
def test_a_long_thin_image_is_as_pillow_would_make_it(
    size: tuple[int, int], geometry: dict[str, Any], interpolation: Interpolation
) -> None:
    assert_like_pillow(size, Preprocess(**geometry, interpolation=interpolation))


@pytest.mark.parametrize("resize", [300, [300, 400]])
def test_halves_may_round_either_way_where_sizes_stand_as_5_to_4(resize: Any) -> None:
    assert_like_pillow((375, 500), Preprocess(resize=resize), most_on_average=0.1)


def test_no_strip_takes_more_memory_than_a_few_copies_of_it() -> None:
    code = """
import resource
import numpy as np
from actors.preprocess import Preprocess, fit
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))  # the whole would take terabytes
for shape in (1, 9_000_000), (9_000_000, 1), (3, 1_000_000):
    image_hwc = np.full((*shape, 3), 77, np.uint8)
    for geometry in Preprocess(), Preprocess(resize=900), Preprocess(resize=[224, 224], crop=None):
        fitted = fit(image_hwc, geometry)
        assert fitted.shape == (224, 224, 3) and (fitted == 77).all(), (shape, geometry)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_picture_is_prepared_as_the_library_prepares_it(name: str) -> None:
    found = differences(CONVENTIONS[name])
    largest, mean = LIMITS[name]
    assert found.max() <= largest + 1e-4  # the normalisation is in float32
    assert found.mean() <= mean + 1e-4


def test_the_documentation_states_these_differences() -> None:
    assert table() in (Path(__file__).parents[3] / "docs" / "models.md").read_text()


def test_borders_have_the_colour_and_the_place_of_the_keys() -> None:
    image_hwc = np.full((2, 4, 3), 9, np.uint8)
    keys = {"resize": None, "crop": [4, 5], "pad_color": [1, 2, 3]}
    centred, first = (fit(image_hwc, Preprocess(**keys, pad_position=place)) for place in ("center", "top_left"))
    assert centred[0, 0].tolist() == first[3, 4].tolist() == [1, 2, 3]
    assert (centred[1:3, :4] == 9).all()
    assert (first[:2, :4] == 9).all()
    assert (centred == 9).sum() == (first == 9).sum() == image_hwc.size


def test_an_image_of_the_right_size_is_left_as_it_is() -> None:
    image_hwc = np.asarray(picture(224, 224))
    np.testing.assert_array_equal(fit(image_hwc, Preprocess(resize=224)), image_hwc)


def test_a_small_image_gets_black_borders() -> None:
    fitted = fit(np.full((3, 2, 3), 9, np.uint8), Preprocess(resize=None, crop=[4, 5]))
    assert fitted[:, :, 0].tolist() == [[0, 9, 9, 0, 0]] * 3 + [[0] * 5]


def test_arrays_that_are_read_only_or_in_another_order_give_the_same() -> None:
    image_hwc = np.array(picture(90, 120))
    expected = fit(image_hwc, Preprocess())
    read_only = image_hwc.copy()
    read_only.flags.writeable = False
    turned = np.asfortranarray(image_hwc)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(fit(read_only, Preprocess()), expected)
        np.testing.assert_array_equal(fit(turned, Preprocess()), expected)


def test_a_single_row_upside_down_is_a_row() -> None:
    row_hwc = np.array(picture(1, 3))
    np.testing.assert_array_equal(fit(row_hwc[::-1], Preprocess()), fit(row_hwc, Preprocess()))


@pytest.mark.usefixtures("_each_resizer")
@pytest.mark.parametrize("interpolation", [Interpolation.bilinear, Interpolation.bicubic])
@pytest.mark.parametrize(
    ("extent", "resize"),
    [
        ((93.75, 125.0), [40, 50]),
        ((94, 124.125), [40, 50]),
        ((93.125, 124.5), [40, 50]),
        ((93.125, 9.125), [40, 600]),
        ((9.125, 94.5), [600, 50]),
    ],
)
def test_an_image_that_ends_within_a_pixel_is_neither_stretched_nor_shifted(
    extent: tuple[float, float], resize: list[int], interpolation: Interpolation
) -> None:
    image_hwc = slope(extent, [math.ceil(side) for side in extent]).round().astype(np.uint8)
    preprocess = Preprocess(resize=resize, crop=[36, 48], interpolation=interpolation)
    top, left = (resize[0] - 36) // 2, (resize[1] - 48) // 2
    expected_hwc = slope(resize, resize)[top : top + 36, left : left + 48]
    assert np.abs(fit(image_hwc, preprocess, extent) - expected_hwc).max() <= 1.2  # two roundings


def slope(extent: Sequence[float], shape: Sequence[int]) -> np.ndarray:
    """Returns grey levels that rise evenly from 0 to 240 over ``extent`` and thus encode each pixel's position."""
    y, x = (np.arange(side) + 0.5 for side in shape)
    slope_hw = 120 * y[:, None] / extent[0] + 120 * x / extent[1]
    return slope_hw[:, :, None].repeat(3, axis=2)


def test_reading_decoding_and_resizing_do_not_import_torch() -> None:
    code = """
import sys, simplejpeg, numpy as np, actors.reading.reader
from actors.decoding.config import Decode
from actors.decoding.pixel_blocks import pixel_columns
from actors.preprocess import Preprocess
jpeg = simplejpeg.encode_jpeg(np.full((375, 500, 3), 77, np.uint8))
assert pixel_columns([jpeg], Decode(), Preprocess())["_error"].to_pylist() == [None]
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
