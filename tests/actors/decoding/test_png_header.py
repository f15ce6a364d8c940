from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from actors.decoding.config import Decode
from actors.decoding.decode import decode
from actors.decoding.png_header import SIGNATURE, without_texts
from actors.errors import ImageError

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(*extra: bytes) -> bytes:
    written = io.BytesIO()
    Image.fromarray(PIXELS).save(written, "PNG")
    png = written.getvalue()
    return png[:33] + b"".join(extra) + png[33:]  # after IHDR


LONG = zlib.compress(b"prompt " * 200_000)
TURNED = chunk(b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"parameters\0\0" + LONG),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + LONG),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"tEXt", b"Comment\0hi")[:-4] + bytes(4),
        chunk(b"zTXt", b"broken\0\0not zlib"),
    ],
    ids=["long text", "long international text", "long profile", "checksum", "broken text"],
)
def test_texts_and_profiles_do_not_stand_in_the_way_of_pixels(extra: bytes) -> None:
    assert (decode(png_with(extra), Decode()) == PIXELS).all()
    turned = decode(png_with(extra, TURNED), Decode())
    assert (turned == np.rot90(PIXELS, -1)).all()


def test_what_is_wrong_with_the_pixels_is_still_an_error() -> None:
    png = png_with(chunk(b"zTXt", b"parameters\0\0" + LONG))
    with pytest.raises(ImageError) as caught:
        decode(png[: -len(PIXELS.tobytes()) // 2], Decode())
    assert caught.value.kind == "truncated"


def test_lengths_that_lie_end_the_walk() -> None:
    png = png_with()
    assert without_texts(png) == png
    assert without_texts(png[:40]) == SIGNATURE + png[8:33]
    assert without_texts(SIGNATURE + b"\xff\xff\xff\xffIDATx") == SIGNATURE
