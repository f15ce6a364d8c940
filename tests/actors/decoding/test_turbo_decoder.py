from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from odd_images import behind_soi, encode, exif, odd_images, segment, with_frame
from photos import jpeg, photo
from PIL import Image

from actors.decoding.config import Decode
from actors.decoding.decode import decode, decode_scaled
from actors.decoding.jpeg_header import plain_start
from actors.decoding.turbo_decoder import has_sound_tables, stored_size
from actors.errors import ImageError
from actors.preprocess import Interpolation, Preprocess, fit

LIMITS = Decode()
WHOLE = Decode(scaled=False)
ODD_SIZE = (603, 805)  # not divisible by 8
EVEN_SIZE = (600, 800)


SMOOTH = [Interpolation.bilinear, Interpolation.bicubic, Interpolation.lanczos]


def oriented(data: bytes, orientation: int) -> bytes:
    return behind_soi(data, segment(0xE1, exif(orientation)))


def assert_nearly_whole(data: bytes, preprocess: Preprocess, *, most: int = 8, most_on_average: float = 1.3) -> int:
    """Compares scaled and full decodes within the differences stated by `decode_scaled`; returns the divisor."""
    whole_hwc = decode(data, LIMITS)
    decoded = decode_scaled(data, LIMITS, preprocess.resized)
    divisor = whole_hwc.shape[0] / decoded.extent[0]
    assert decoded.extent == (whole_hwc.shape[0] / divisor, whole_hwc.shape[1] / divisor)
    assert decoded.image_hwc.shape == (*map(math.ceil, decoded.extent), 3)
    fitted = fit(decoded.image_hwc, preprocess, decoded.extent)
    assert (fitted.dtype, fitted.shape) == (np.uint8, (*preprocess.size, 3))
    differences = np.abs(fitted.astype(int) - fit(whole_hwc, preprocess))
    assert differences.max() <= most
    assert differences.mean() <= most_on_average
    return int(divisor)


@pytest.mark.parametrize("interpolation", SMOOTH)
@pytest.mark.parametrize("orientation", range(10))
def test_an_image_of_odd_size_keeps_its_geometry_whichever_way_up(
    orientation: int, interpolation: Interpolation
) -> None:
    data = oriented(jpeg(3, height=ODD_SIZE[0], width=ODD_SIZE[1]), orientation)
    preprocess = Preprocess(resize=25, crop=[24, 30], interpolation=interpolation)
    divisor = assert_nearly_whole(data, preprocess)
    assert divisor == (1 if orientation in {2, 3, 4, 6, 7, 8} else 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_that_divides_well_is_scaled_whichever_way_up(orientation: int) -> None:
    data = oriented(jpeg(3, height=EVEN_SIZE[0], width=EVEN_SIZE[1]), orientation)
    assert assert_nearly_whole(data, Preprocess(resize=25, crop=[24, 30])) == 8


@pytest.mark.parametrize(
    ("geometry", "divisor"),
    [
        ({"resize": 25, "crop": 24}, 8),  # 600 / 8 = 3 * 25
        ({"resize": 26, "crop": 24}, 4),
        ({"resize": 50, "crop": 48}, 4),
        ({"resize": 51, "crop": 48}, 2),
        ({"resize": 100, "crop": 110}, 2),
        ({"resize": 101, "crop": 110}, 1),
        ({"resize": [30, 67], "crop": None}, 2),  # the side that is reduced less decides
        ({"resize": [101, 30], "crop": None}, 1),
        ({"resize": None, "crop": 40}, 1),
    ],
)
def test_an_image_is_scaled_by_as_much_as_leaves_enough(geometry: dict[str, Any], divisor: int) -> None:
    data = jpeg(3, height=EVEN_SIZE[0], width=EVEN_SIZE[1])
    assert assert_nearly_whole(data, Preprocess(**geometry)) == divisor


@pytest.mark.parametrize("orientation", range(5, 9))
def test_what_is_enough_is_counted_right_way_up(orientation: int) -> None:
    data = oriented(jpeg(3, height=EVEN_SIZE[0], width=EVEN_SIZE[1]), orientation)
    assert assert_nearly_whole(data, Preprocess(resize=[60, 30], crop=None)) == 4
    assert assert_nearly_whole(data, Preprocess(resize=[30, 60], crop=None)) == 2


def test_a_tiny_image_stays_whole() -> None:
    for side in range(4, 8):
        decoded = decode_scaled(jpeg(3, height=side, width=side), LIMITS, lambda _height, _width: (1, 1))
        assert (*decoded.extent, 3) == decoded.image_hwc.shape == (side, side, 3)


@pytest.mark.parametrize("size", [(403, 3000), (3001, 405)])
def test_a_strip_is_scaled_too(size: tuple[int, int]) -> None:
    data = jpeg(3, height=size[0], width=size[1])
    for geometry in ({"resize": 16, "crop": 14}, {"resize": [110, 16][:: 1 if size[0] > size[1] else -1], "crop": 14}):
        assert assert_nearly_whole(data, Preprocess(**geometry)) == 8


def test_grey_and_progressive_images_are_scaled() -> None:
    image = photo(3, height=ODD_SIZE[0], width=ODD_SIZE[1])
    preprocess = Preprocess(resize=25, crop=24)
    grey = encode(image.convert("L"), "JPEG")
    assert assert_nearly_whole(grey, preprocess) == 8
    decoded_hwc = decode_scaled(grey, LIMITS, preprocess.resized).image_hwc
    np.testing.assert_array_equal(decoded_hwc, decoded_hwc[:, :, :1].repeat(3, axis=2))
    assert assert_nearly_whole(encode(image, "JPEG", progressive=True), preprocess) == 8
    assert assert_nearly_whole(encode(image, "JPEG", subsampling=0), preprocess) == 8


@pytest.mark.parametrize("options", [{"image_format": "PNG"}, {"image_format": "JPEG", "keep_rgb": True}])
def test_what_libjpeg_turbo_does_not_decode_stays_whole(options: dict[str, Any]) -> None:
    data = encode(photo(3, height=200, width=300), **options)
    decoded = decode_scaled(data, LIMITS, lambda _height, _width: (9, 9))
    np.testing.assert_array_equal(decoded.image_hwc, decode(data, LIMITS))
    assert decoded.extent == (200, 300)


def test_switched_off_every_pixel_is_that_of_the_whole_decode() -> None:
    data = oriented(jpeg(3, height=ODD_SIZE[0], width=ODD_SIZE[1]), 6)
    decoded = decode_scaled(data, WHOLE, lambda _height, _width: (9, 9))
    np.testing.assert_array_equal(decoded.image_hwc, decode(data, LIMITS))
    assert decoded.extent == (805, 603)


def test_the_limit_on_pixels_is_that_of_the_whole_image() -> None:
    data = jpeg(3, height=200, width=300)
    assert decode_scaled(data, Decode(max_pixels=60_000), Preprocess(resize=8, crop=8).resized).extent == (25, 37.5)
    with pytest.raises(ImageError, match=r"300 x 200 is 60000 pixels, more than decode\.max_pixels=59999"):
        decode_scaled(data, Decode(max_pixels=59_999), Preprocess(resize=8, crop=8).resized)
    with pytest.raises(ImageError, match="65500 x 65500"):
        decode_scaled(with_frame(data, height=65500, width=65500), LIMITS, Preprocess(resize=8, crop=8).resized)


def test_images_of_any_size_get_the_shape_and_the_content_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    divisors = set()
    for _ in range(300):
        height, width = (int(2 ** rng.uniform(0, 9)) for _ in range(2))
        resize: Any = int(rng.integers(1, 40))
        resize = resize if rng.random() < 0.5 else [resize, int(rng.integers(1, 40))]
        size = (int(rng.integers(1, 40)), int(rng.integers(1, 40)))
        # A gradient from corner to corner: any shift or stretch of the grid changes its grey levels.
        y, x = np.mgrid[0:height, 0:width]
        slope_hw = (255 * (y / height + x / width) / 2).astype(np.uint8)
        data = oriented(encode(Image.fromarray(slope_hw), "JPEG", quality=95), int(rng.integers(1, 9)))
        preprocess = Preprocess(resize=resize, crop=size, interpolation=rng.choice(SMOOTH))
        divisors.add(assert_nearly_whole(data, preprocess, most=24, most_on_average=3))
    assert divisors == {1, 2, 4, 8}


def test_the_size_is_that_before_the_orientation_is_undone() -> None:
    assert stored_size(oriented(jpeg(0, height=30, width=40), 6)) == (30, 40)
    assert stored_size(encode(photo(0).convert("L"), "JPEG")) == (375, 500)


@pytest.mark.parametrize("name", ["cmyk.jpg", "ycck.jpg", "adobe_rgb.jpg", "subsampling_uneven.jpg", "rgba.png"])
def test_what_libjpeg_turbo_cannot_do_has_no_size(name: str) -> None:
    assert stored_size(odd_images()[name]) is None


def test_sound_tables_are_distinguished_from_others() -> None:
    start = plain_start(encode(photo(0), "JPEG"))
    assert start
    assert has_sound_tables(start)
    tables, scan = start.index(b"\xff\xc4"), start.index(b"\xff\xda")
    assert not has_sound_tables(start.replace(b"\xff\xdb", b"\xff\xfe"))  # comments instead of tables
    assert not has_sound_tables(start[: tables + 5] + b"\xff" * 16 + start[tables + 21 :])
    assert not has_sound_tables(start[: scan + 6] + b"\x22" + start[scan + 7 :])  # the third of two tables
    assert not has_sound_tables(start[: scan + 11] + b"\x01\x02\x03" + start[scan + 14 :])  # odd, but not an error


def test_fine_stripes_keep_their_contrast_nearly() -> None:
    """Tests the worst case of scaling; `decode_scaled` states the bound."""
    for gap, width in ((9, 4), (13, 6), (5, 2), (31, 15)):
        x = np.arange(2048)
        stripes_hw = np.broadcast_to(np.where(x % gap < width, 0, 255).astype(np.uint8), (1536, 2048))
        data = encode(Image.fromarray(stripes_hw), "JPEG", quality=92)
        assert assert_nearly_whole(data, Preprocess(), most=16, most_on_average=8) == 2


@pytest.mark.parametrize("tail", [b"", b"\0\0\xff\xcf\0\x11" + bytes(4000) + b"SEFT"], ids=["cut off", "trailer"])
def test_a_jpeg_that_lacks_its_end_mark_alone_is_whole(tail: bytes) -> None:
    data = jpeg(3)
    np.testing.assert_array_equal(decode(data[:-2] + tail, LIMITS), decode(data, LIMITS))
    turned = oriented(data, 6)
    np.testing.assert_array_equal(decode(turned[:-2] + tail, LIMITS), decode(turned, LIMITS))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_pixels_is_an_error_unless_what_there_is_will_do(progressive: bool) -> None:  # noqa: FBT001
    image = photo(3, height=200, width=300)
    data = encode(image, "JPEG", progressive=progressive)
    cut = data[: len(data) // 2]
    with pytest.raises(ImageError) as caught:
        decode(cut, LIMITS)
    assert caught.value.kind == "truncated"
    accepted_hwc = decode(cut, Decode(truncated="accept"))  # type: ignore[arg-type]
    assert accepted_hwc.shape == (200, 300, 3)
    if not progressive:
        np.testing.assert_array_equal(accepted_hwc[:64], decode(data, LIMITS)[:64])
        assert (accepted_hwc[-8:] == 128).all()
    with pytest.raises(ImageError):
        decode(data[:100], Decode(truncated="accept"))  # type: ignore[arg-type]
