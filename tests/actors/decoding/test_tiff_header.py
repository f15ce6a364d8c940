from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tiffs import BLACK_IS_ZERO, CIELAB, CMYK, FLOAT, PALETTE, RGB, SIGNED, WHITE_IS_ZERO, Tiff, ramp

from actors.decoding.config import Decode
from actors.decoding.decode import decode
from actors.errors import ImageError

# Right by TIFF 6.0 and libtiff's tiff2rgba; tests/benchmarks/formats.py compares all of them with that program.
RIGHT = [
    *(Tiff(photometric, bits) for photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) for bits in (1, 2, 4, 8, 16)),
    Tiff(BLACK_IS_ZERO, 12),
    Tiff(BLACK_IS_ZERO, 16, order=">"),
    Tiff(BLACK_IS_ZERO, 8, order=">"),
    *(Tiff(RGB, 8, 3, planar=planar) for planar in (1, 2)),
    *(Tiff(RGB, 16, 3, order=order) for order in "<>"),
    Tiff(RGB, 8, 4, extra={338: ("H", [2])}),
    Tiff(BLACK_IS_ZERO, 8, 2, extra={338: ("H", [2])}),
]
REFUSED = [
    (Tiff(BLACK_IS_ZERO, 8, sample_format=SIGNED), "signed samples of 8 bits"),
    (Tiff(BLACK_IS_ZERO, 16, sample_format=SIGNED), "outside 0 to 65535"),
    (Tiff(BLACK_IS_ZERO, 32, sample_format=FLOAT), "floating-point"),
    (Tiff(RGB, 16, 3, planar=2), "planes of 16 bits"),
    (Tiff(RGB, 16, 4, planar=2, extra={338: ("H", [2])}), "planes of 16 bits"),
    (Tiff(CMYK, 16, 4, planar=2), "planes of 16 bits"),
    (Tiff(WHITE_IS_ZERO, 8, planar=2), "white is zero"),
    (Tiff(CIELAB, 8, 3), "CIELab"),
    (Tiff(WHITE_IS_ZERO, 16, order=">"), "unknown pixel mode"),
    (Tiff(WHITE_IS_ZERO, 12), "unknown pixel mode"),
    (Tiff(RGB, 12, 3), "unknown pixel mode"),
    (Tiff(BLACK_IS_ZERO, 8, compression=34712), "compression 34712 .JPEG 2000."),
    (Tiff(BLACK_IS_ZERO, 8, compression=50002), "compression 50002 .JPEG XL."),
]


def samples(tiff: Tiff) -> np.ndarray:
    values = ramp(samples=tiff.samples)
    if tiff.sample_format == FLOAT:
        return values
    found = np.round(values * ((1 << tiff.bits) - 1)).astype(np.int64)
    return found - (1 << (tiff.bits - 1)) if tiff.sample_format == SIGNED else found


def grey_levels(values: np.ndarray, tiff: Tiff) -> np.ndarray:
    """Scales samples to 0 to 255; longer samples are cut to their high 8 bits."""
    if tiff.photometric == WHITE_IS_ZERO:
        values = ((1 << tiff.bits) - 1) - values
    levels = values >> (tiff.bits - 8) if tiff.bits > 8 else np.round(values * 255 / ((1 << tiff.bits) - 1))
    colours = levels[:, :, :3] if tiff.samples >= 3 else np.repeat(levels[:, :, :1], 3, axis=2)
    return colours.astype(int)


@pytest.mark.parametrize("tiff", RIGHT, ids=str)
def test_a_layout_that_is_let_through_is_right(tiff: Tiff) -> None:
    values = samples(tiff)
    pixels = decode(tiff.encode(values), Decode()).astype(int)
    assert np.abs(pixels - grey_levels(values, tiff)).max() <= 1


@pytest.mark.parametrize(("tiff", "problem"), REFUSED, ids=str)
def test_all_others_are_refused_with_their_reason(tiff: Tiff, problem: str) -> None:
    with pytest.raises(ImageError, match=problem) as caught:
        decode(tiff.encode(samples(tiff)), Decode())
    assert (caught.value.stage, caught.value.kind) == ("decode", "unsupported")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_is_looked_up(bits: int) -> None:
    table = np.random.default_rng(bits).integers(0, 65536, (3, 1 << bits))
    tiff = Tiff(PALETTE, bits, extra={320: ("H", table.ravel().tolist())})
    values = samples(tiff)
    pixels = decode(tiff.encode(values), Decode())
    assert np.abs(pixels.astype(int) - (table.T[values[:, :, 0]] >> 8)).max() <= 1


def test_a_palette_of_8_bit_values_is_taken_as_such() -> None:
    table = np.random.default_rng(0).integers(0, 256, (3, 16))
    tiff = Tiff(PALETTE, 4, extra={320: ("H", table.ravel().tolist())})
    values = samples(tiff)
    assert (decode(tiff.encode(values), Decode()) == table.T[values[:, :, 0]]).all()


def test_cmyk_of_16_bits_keeps_the_high_byte() -> None:
    wide = Tiff(CMYK, 16, 4)
    narrow = Tiff(CMYK, 8, 4)
    values = samples(narrow)
    assert (decode(wide.encode(values * 257), Decode()) == decode(narrow.encode(values), Decode())).all()


def test_packed_and_inverted_grey_stay_right_under_compression() -> None:
    values = samples(Tiff(WHITE_IS_ZERO, 16))
    written = io.BytesIO()
    Image.fromarray(values[:, :, 0].astype(np.uint16)).save(
        written, "TIFF", compression="tiff_lzw", tiffinfo={262: WHITE_IS_ZERO}
    )
    tags = Image.open(io.BytesIO(written.getvalue())).tag_v2
    if tags[262] != WHITE_IS_ZERO:
        pytest.skip("this Pillow writes its own photometric interpretation")
    pixels = decode(written.getvalue(), Decode())
    assert np.abs(pixels.astype(int) - grey_levels(values, Tiff(WHITE_IS_ZERO, 16))).max() <= 1
