from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
from odd_images import bad_images, encode, odd_images
from PIL import Image

from actors.decoding.config import Decode
from actors.decoding.decode import decode
from actors.errors import ImageError
from actors.pictures.thumbnails import data_uri, shrink, thumbnail, within


def opened(webp: bytes) -> np.ndarray:
    image = Image.open(BytesIO(webp))
    assert image.format == "WEBP"
    return np.asarray(image.convert("RGB")).astype(int)


def halves(height: int, width: int) -> Image.Image:
    """Returns an image that is red on the left and blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("orientation", "shape"), [(1, (64, 128, 3)), (6, (128, 64, 3)), (8, (128, 64, 3))])
def test_a_rotated_photograph_stands_upright(orientation: int, shape: tuple[int, ...]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = opened(thumbnail(encode(halves(500, 1000), "JPEG", exif=exif, quality=95), Decode()))
    assert pixels.shape == shape
    # A quarter turn to the right undoes orientation 6: the left side becomes the top.
    start, end = (pixels[5, 5], pixels[-5, -5]) if orientation != 8 else (pixels[-5, -5], pixels[5, 5])
    assert start[0] > 200
    assert start[2] < 60
    assert end[2] > 200
    assert end[0] < 60


@pytest.mark.parametrize("name", sorted(odd_images()))
def test_odd_images_look_as_the_decoder_sees_them(name: str) -> None:
    data = odd_images()[name]
    wanted = np.asarray(shrink(decode(data, Decode()))).astype(int)
    found = opened(thumbnail(data, Decode()))
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).mean() < 12


def test_a_large_photograph_takes_few_bytes_and_keeps_its_colours() -> None:
    random = np.random.default_rng(0)
    rough = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize(
        (4000, 3000), Image.Resampling.BICUBIC
    )
    data = encode(rough, "JPEG", quality=90)
    made = thumbnail(data, Decode())
    assert len(made) < 5000
    wanted = np.asarray(shrink(decode(data, Decode()))).astype(int)
    assert np.abs(opened(made) - wanted).mean() < 6
    assert opened(thumbnail(data, Decode(), side=200)).shape == (150, 200, 3)


def test_a_tiny_image_is_not_enlarged_and_stays_exact() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert (opened(thumbnail(encode(Image.fromarray(pixels), "PNG"), Decode())) == pixels).all()


def test_sizes_keep_their_proportions() -> None:
    assert within((500, 375), 128) == (128, 96)
    assert within((3, 40_000), 128) == (1, 128)
    assert within((8, 4), 128) == (8, 4)
    assert within((8, 4), 128, enlarge=True) == (128, 64)


def test_no_image_is_an_error_of_its_own() -> None:
    for name, (data, kind) in bad_images().items():
        with pytest.raises(ImageError) as caught:
            thumbnail(data, Decode(max_pixels=10_000))
        assert caught.value.kind in {kind, "too_large"}, name


def test_a_data_uri_holds_the_file() -> None:
    prefix, _, content = data_uri(b"\0webp").partition(",")
    assert prefix == "data:image/webp;base64"
    assert base64.b64decode(content) == b"\0webp"
