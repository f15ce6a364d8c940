from __future__ import annotations

import logging
import struct
import warnings

import numpy as np
import pytest
from odd_images import bad_images, encode, odd_images, picture, png, tiff, tiff_data_offset
from PIL import Image

from actors.decoding.config import Decode
from actors.decoding.pillow_decoder import decode_with_pillow, find_format
from actors.errors import ImageError

LIMITS = Decode()
ODD = odd_images()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jpeg_inside.png", "JPEG"),
        ("rgba.png", "PNG"),
        ("lossy.webp", "WEBP"),
        ("static.gif", "GIF"),
        ("big.tiff", "TIFF"),
        ("grey_16_big_endian.tiff", "TIFF"),
        ("rgb.bmp", "BMP"),
        ("headless.dib", "DIB"),
        ("plain.ppm", "PPM"),
        ("rgb.jp2", "JPEG2000"),
        ("grey.j2k", "JPEG2000"),
        ("still.avif", "AVIF"),
        ("png_inside.ico", "ICO"),
    ],
)
def test_a_format_is_recognised_by_content(name: str, expected: str) -> None:
    image_format = find_format(ODD[name])
    assert image_format
    assert image_format.format == expected


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\xc5\xd0\xd3\xc6" + bytes(30), "PostScript"),
        (b"%PDF-1.4", "PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?>\n<!-- made by hand -->\n<svg/>", "SVG"),
        (b"8BPS\x00\x01", "Photoshop"),
    ],
)
def test_a_known_format_that_is_not_read_is_named(data: bytes, name: str) -> None:
    assert find_format(data) is None
    with pytest.raises(ImageError, match=f"{name} is not a supported image format") as caught:
        decode_with_pillow(data, LIMITS)
    assert caught.value.kind == "unsupported"


def test_bytes_that_are_not_an_image_are_not_quoted() -> None:
    with pytest.raises(ImageError, match="not a known image format") as caught:
        decode_with_pillow(b"root:$6$SECRET", LIMITS)
    assert "root" not in caught.value.message
    assert caught.value.kind == "unidentified"


@pytest.mark.parametrize("data", [b"<!DOCTYPE html><title>Log in</title>", b"\xef\xbb\xbf\n<HTML>"])
def test_a_web_page_in_place_of_an_image_is_named(data: bytes) -> None:
    with pytest.raises(ImageError, match="an HTML page instead of an image") as caught:
        decode_with_pillow(data, LIMITS)
    assert caught.value.kind == "unidentified"


def test_the_orientation_of_a_tiff_is_undone_once() -> None:
    pixels, orientation = decode_with_pillow(ODD["orientation_8.tiff"], LIMITS)
    assert orientation == 1
    np.testing.assert_array_equal(pixels, np.rot90(np.asarray(picture())))
    assert decode_with_pillow(ODD["orientation_6.png"], LIMITS)[1] == 6


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 65535, [0, 255]), (255, 256, [0, 1])])
def test_whole_numbers_of_16_bits_keep_their_high_byte(low: int, high: int, expected: list[int]) -> None:
    data = encode(Image.fromarray(np.array([[low, high]], np.int32)), "TIFF")
    assert decode_with_pillow(data, LIMITS)[0][0, :, 1].tolist() == expected


@pytest.mark.parametrize("value", [-1, 65536])
def test_whole_numbers_outside_16_bits_are_refused(value: int) -> None:
    data = encode(Image.fromarray(np.array([[0, value]], np.int32)), "TIFF")
    with pytest.raises(ImageError, match="outside 0 to 65535"):
        decode_with_pillow(data, LIMITS)


def test_a_huge_tile_is_refused_though_the_image_is_small() -> None:
    data, _ = bad_images()["huge_tile.tiff"]
    with pytest.raises(ImageError, match="40000 x 40000"):
        decode_with_pillow(data, LIMITS)


def test_a_huge_picture_in_an_icon_is_refused_before_it_is_decoded() -> None:
    pictures = [encode(picture(16, 16), "PNG"), png(20000, 30000, depth=8, colour=2, rows=b"\0")]
    offsets = [6 + 16 * len(pictures), 6 + 16 * len(pictures) + len(pictures[0])]
    entries = [
        struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(data), offset)
        for data, offset in zip(pictures, offsets, strict=True)
    ]
    icon = struct.pack("<HHH", 0, 1, len(pictures)) + b"".join(entries) + b"".join(pictures)
    with pytest.raises(ImageError, match="20000 x 30000"):
        decode_with_pillow(icon, LIMITS)
    bitmap = struct.pack("<HHHBBBBHHIIIii", 0, 1, 1, 16, 16, 0, 0, 1, 32, 99, 22, 40, 20000, -60000)
    with pytest.raises(ImageError, match="20000 x 30000"):
        decode_with_pillow(bitmap, LIMITS)


def test_pillow_keeps_its_remarks_to_itself(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("PIL").handlers.clear()
    tags = {256: (3, 1, 1), 257: (3, 1, 1), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 999)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SyntaxError, match="samples per pixel"):
            decode_with_pillow(tiff(tags), LIMITS)
        fax = {256: (3, 1, 99), 257: (3, 1, 9), 258: (3, 1, 1), 259: (3, 1, 4), 262: (3, 1, 0)}
        fax |= {273: (4, 1, tiff_data_offset(7)), 279: (4, 1, 40)}
        decode_with_pillow(tiff(fax, b"\x5a" * 40), LIMITS)
        assert decode_with_pillow(ODD["palette_transparent.png"], LIMITS)[0].size
    assert capfd.readouterr() == ("", "")
