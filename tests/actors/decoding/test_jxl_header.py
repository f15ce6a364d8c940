from __future__ import annotations

import io

import pytest
from PIL import Image

from actors.decoding.config import Decode
from actors.decoding.decode import decode
from actors.decoding.jxl_header import read_jxl_header
from actors.errors import ImageError

# Small sizes, ratios with a code, and sizes of 9 and 13 bits.
SIZES = [(8, 8), (64, 40), (256, 256), (257, 100), (100, 75), (160, 90), (250, 200), (300, 150), (1, 1), (700, 513)]


def encoded(width: int, height: int) -> bytes:
    pytest.importorskip("pillow_jxl")
    written = io.BytesIO()
    Image.new("RGB", (width, height)).save(written, "JXL", lossless=True)
    return written.getvalue()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_size_is_read_from_the_first_bits(width: int, height: int) -> None:
    assert read_jxl_header(encoded(width, height)) == (height, width, 1)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(ImageError) as caught:
        decode(encoded(300, 200), Decode(max_pixels=59_999))
    assert caught.value.kind == "too_large"


@pytest.mark.parametrize("data", [b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40)])
def test_a_file_that_ends_early_is_truncated(data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        read_jxl_header(data)
    assert caught.value.kind == "truncated"
