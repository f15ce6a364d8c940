from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from actors.decoding.config import Decode
from actors.decoding.decode import decode
from actors.decoding.pillow_plugins import is_avif, is_heif, plugin_format_name
from actors.errors import ImageError


def picture(height: int, width: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], 2).astype(np.uint8))


def encoded(image: Image.Image, module: str, kind: str, orientation: int = 1, **options: object) -> bytes:
    pytest.importorskip(module)
    if module == "pillow_heif":
        import pillow_heif  # noqa: PLC0415

        pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    written = io.BytesIO()
    image.save(written, kind, exif=exif.tobytes(), **options)
    return written.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(
    ("module", "kind", "options"), [("pillow_heif", "HEIF", {"quality": -1}), ("pillow_jxl", "JXL", {"lossless": True})]
)
def test_both_formats_are_read_upright(module: str, kind: str, options: dict[str, object], orientation: int) -> None:
    image = picture(48, 64)
    upright = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}
    turn = upright[orientation]
    expected = np.asarray(image if turn is None else image.transpose(turn)).astype(int)
    pixels = decode(encoded(image, module, kind, orientation, **options), Decode()).astype(int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 4


def test_too_many_pixels_of_heic_are_refused_from_the_header() -> None:
    data = encoded(picture(48, 64), "pillow_heif", "HEIF")
    with pytest.raises(ImageError) as caught:
        decode(data, Decode(max_pixels=1000))
    assert caught.value.kind == "too_large"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(100), "HEIC"),
        (b"\0\0\0\x18ftypheix\0\0\0\0mif1heix" + bytes(100), "HEIC"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20), "JPEG XL"),
    ],
)
def test_formats_are_recognised_by_their_brands_and_named_in_errors(data: bytes, name: str) -> None:
    assert plugin_format_name(data) == name
    assert not is_avif(data)
    with pytest.raises(ImageError, match=name):
        decode(data, Decode())


def test_avif_is_not_taken_for_heic() -> None:
    for brands in (b"avif\0\0\0\0mif1avif", b"mif1\0\0\0\0mif1avif", b"mif1\0\0\0\0heicavif"):
        data = b"\0\0\0\x18ftyp" + brands
        assert is_avif(data)
        assert not is_heif(data)


def test_without_the_plug_in_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif.as_plugin", None)
    with pytest.raises(ImageError, match=r"pip install 'shardlens\[heif\]'") as caught:
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), Decode())
    assert caught.value.kind == "unsupported"
