from __future__ import annotations

import functools
import math
import platform
import subprocess
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from cykooz_resizer import CpuExtensions
from cykooz_resizer.rust_lib import RustResizer
from photos import photo
from PIL import Image

import actors.preprocess
from actors.errors import JobError
from actors.preprocess import Interpolation, Preprocess, _resized, fit, scale_and_bias

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
    """Pillow's resize and torchvision's Resize and CenterCrop, as their documentation states them."""
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
    monkeypatch.setattr("actors.preprocess._HAS_SIMD", request.param and actors.preprocess._HAS_SIMD)


def assert_like_pillow(size: tuple[int, int], preprocess: Preprocess, *, most_on_average: float = 0.02) -> None:
    fitted = fit(np.asarray(picture(*size)), preprocess)
    differences = np.abs(fitted.astype(int) - fit_by_pillow(picture(*size), preprocess))
    assert fitted.shape == (*preprocess.size, 3)
    assert fitted.dtype == np.uint8
    assert fitted.flags.c_contiguous
    assert differences.max() <= 2
    assert differences.mean() <= most_on_average


@pytest.mark.usefixtures("_each_resizer")
@pytest.mark.parametrize("interpolation", Interpolation)
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("size", SIZES)
def test_an_image_is_as_pillow_would_make_it(
    size: tuple[int, int], geometry: dict[str, Any], interpolation: Interpolation
) -> None:
    assert_like_pillow(size, Preprocess(**geometry, interpolation=interpolation))


@pytest.mark.usefixtures("_each_resizer")
@pytest.mark.parametrize("interpolation", Interpolation)
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


@pytest.mark.skipif(not actors.preprocess._HAS_SIMD or platform.machine() != "x86_64", reason="instruction sets of x86")
@pytest.mark.parametrize("interpolation", Interpolation)
def test_every_instruction_set_gives_the_same_pixels(
    interpolation: Interpolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resizer() -> Any:
        resizer = RustResizer()
        resizer.set_cpu_extensions(extensions.value)
        return resizer

    monkeypatch.setattr("actors.preprocess.RustResizer", resizer)
    best = RustResizer().get_cpu_extensions()
    for size in SIZES + STRIPS:
        found = set()
        for extensions in CpuExtensions.none, CpuExtensions.sse4_1, CpuExtensions.avx2:
            if extensions.value <= best:
                found.add(fit(np.asarray(picture(*size)), Preprocess(interpolation=interpolation)).tobytes())
        assert len(found) == 1


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
@pytest.mark.parametrize("interpolation", Interpolation)
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
    """Greys that rise evenly from 0 to 240 over ``extent``, and so tell each pixel's place at any scale."""
    y, x = (np.arange(side) + 0.5 for side in shape)
    slope_hw = 120 * y[:, None] / extent[0] + 120 * x / extent[1]
    return slope_hw[:, :, None].repeat(3, axis=2)


@pytest.mark.parametrize("divisor", [2, 4, 8])
@pytest.mark.parametrize("resize", [1, 224, 256, 333, [40, 50], None])
def test_a_scaled_image_is_resized_to_the_size_of_the_whole(resize: Any, divisor: int) -> None:
    for height, width in np.random.default_rng(0).integers(1, 9999, (500, 2)).tolist():
        if resize:
            assert _resized(height / divisor, width / divisor, resize) == _resized(height, width, resize)
    assert Preprocess(resize=resize).resized(900, 1201) == _resized(900, 1201, resize)


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
    assert "model.preprocess.crop" in caught.value.cure


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(side, value) for side in ("resize", "crop") for value in ("256", 0, -1, 224.0, True, [224], [1, 2, 3])],
        *[(side, value) for side in ("resize", "crop") for value in ([0, 5], ["a", 5], {"h": 3}, 10**6)],
        *[
            (name, value)
            for name in ("mean", "std")
            for value in ([0.5], [1.0, 2.0, 3.0, 4.0], 0.5, ["a", 1, 2], [1, 2, True])
        ],
        ("mean", [0.1, float("nan"), 0.2]),
        ("std", [0.1, 0.0, 0.2]),
        ("std", [0.1, -0.2, 0.2]),
        ("std", [0.1, float("inf"), 0.2]),
    ],
)
def test_a_wrong_value_is_named_by_its_full_key(field: str, value: Any) -> None:
    with pytest.raises(JobError) as caught:
        Preprocess(**{field: value}).check()
    assert caught.value.problem.startswith(f"model.preprocess.{field}={value!r}: ")
    assert caught.value.cure


def test_scale_and_bias_normalise_as_mean_and_std_do() -> None:
    preprocess = Preprocess(mean=[0.1, 0.2, 0.3], std=[0.5, 1.0, 0.25])
    scale, bias = scale_and_bias(preprocess)
    assert (scale.dtype, scale.shape, bias.dtype, bias.shape) == (np.float32, (3,), np.float32, (3,))
    pixels = np.arange(256, dtype=np.float32)[:, None]
    expected = (pixels.astype(np.float64) / 255 - preprocess.mean) / preprocess.std
    np.testing.assert_allclose(pixels * scale + bias, expected, atol=1e-6)


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


@pytest.mark.parametrize(
    ("mean", "std", "cure"),
    [
        (
            [123.675, 116.28, 103.53],
            [58.395, 57.12, 57.375],
            "mean=[0.485,0.456,0.406] and model.preprocess.std=[0.229",
        ),
        ([103.53, 116.28, 123.675], [1.0, 1.0, 1.0], "std=[0.00392157,0.00392157,0.00392157]"),
        ([123.675, 116.28, 103.53], [0.229, 0.224, 0.225], "std=[0.229,0.224,0.225]"),
        ([0.0, 0.0, 0.0], [255.0, 255.0, 255.0], "mean=[0,0,0] and model.preprocess.std=[1,1,1]"),
    ],
)
def test_numbers_for_pixels_of_0_to_255_are_refused(mean: list[float], std: list[float], cure: str) -> None:
    with pytest.raises(JobError, match=r"for pixels of 0\.\.255") as raised:
        Preprocess(mean=mean, std=std).check()
    assert cure in raised.value.cure


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.5), (0.4, 1 / 255), (0.0, 1 / 255), (1.0, 1.0)])
def test_numbers_for_pixels_of_0_to_1_are_taken(mean: float, std: float) -> None:
    Preprocess(mean=[mean] * 3, std=[std] * 3).check()
