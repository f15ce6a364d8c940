from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from photos import jpeg
from simplejpeg import encode_jpeg
from wrong_decoders import WrongDecoder, fitted_batch

from actors.columns import (
    DECODE_CHECK,
    DECODE_S,
    ERROR,
    FLAT,
    HEIGHT,
    LOCATION,
    MESSAGE,
    PIXELS,
    READ_BYTES,
    SHARD,
    STAGE,
    URI,
    WIDTH,
    unpack_pixels,
)
from actors.decoding.config import Decode, FittedBatch, FittedImage
from actors.decoding.decode import decode, decode_scaled
from actors.decoding.pixel_blocks import PixelBlock, decode_batch, pixel_block, pixel_columns
from actors.errors import DecoderMismatchError, ImageError
from actors.preprocess import Preprocess, fit

PREPROCESS = Preprocess(resize=40, crop=32)
LIMITS = Decode()
GRADIENT = np.arange(32 * 32 * 3).astype(np.uint8).reshape(32, 32, 3)


def test_good_and_bad_images_keep_their_places() -> None:
    array = np.full((50, 60, 3), 9, np.uint8)
    images = [jpeg(0), b"no image", array, ImageError("read", "not_found", "gone"), np.zeros((4, 4), np.uint8)]
    columns = pixel_columns(images, LIMITS, PREPROCESS)
    pixels = unpack_pixels(pa.chunked_array([columns[PIXELS]]), 32, 32)
    decoded = decode_scaled(images[0], LIMITS, PREPROCESS.resized)
    np.testing.assert_array_equal(pixels[0], fit(decoded.image_hwc, PREPROCESS, decoded.extent))
    np.testing.assert_array_equal(pixels[2], 9)
    assert not pixels[[1, 3, 4]].any()
    assert columns[STAGE].to_pylist() == [None, "decode", None, "read", "decode"]
    assert columns[ERROR].to_pylist() == [None, "unidentified", None, "not_found", "unsupported"]
    assert columns[MESSAGE][3].as_py() == "gone"
    assert columns[HEIGHT].to_pylist() == [375, 0, 50, 0, 0]
    assert columns[WIDTH].to_pylist() == [500, 0, 60, 0, 0]
    assert all(seconds >= 0 for seconds in columns[DECODE_S].to_pylist())


@pytest.mark.parametrize(
    ("keys", "is_scaled"),
    [
        ({}, True),
        ({"interpolation": "lanczos"}, True),
        ({"interpolation": "nearest"}, False),
        ({"antialias": False}, False),
    ],
)
def test_a_resize_that_skips_pixels_gets_the_whole_image(keys: dict[str, Any], *, is_scaled: bool) -> None:
    preprocess = Preprocess(resize=40, crop=32, **keys)
    image = jpeg(0, height=600, width=800)
    columns = pixel_columns([image], Decode(), preprocess)
    whole = fit(decode(image, LIMITS), preprocess)
    assert is_scaled is not np.array_equal(unpack_pixels(pa.chunked_array([columns[PIXELS]]), 32, 32)[0], whole)


@pytest.mark.parametrize("taken", [(), (1,), (0, 1, 2)], ids=str)
def test_a_decoder_of_batches_gets_what_is_encoded_and_the_cpu_what_it_leaves(taken: tuple[int, ...]) -> None:
    array = np.full((50, 60, 3), 9, np.uint8)
    images = [ImageError("read", "not_found", "gone"), jpeg(0), array, b"no image", jpeg(1)]
    seen: list[bytes] = []

    def decoder(encoded: Sequence[bytes]) -> FittedBatch:
        seen.extend(encoded)
        rows = {(1, 3, 4)[place] for place in taken}
        images = [FittedImage(GRADIENT, (77, 99)) if row in rows else None for row in range(len(encoded))]
        return fitted_batch(images, PREPROCESS)

    columns, alone = (pixel_columns(images, LIMITS, PREPROCESS, given) for given in (decoder, None))
    pixels, pixels_alone = (unpack_pixels(pa.chunked_array([each[PIXELS]]), 32, 32) for each in (columns, alone))
    assert seen == [b"", images[1], b"", images[3], images[4]]
    for place, row in enumerate((1, 3, 4)):
        np.testing.assert_array_equal(pixels[row], GRADIENT if place in taken else pixels_alone[row])
        assert (columns[ERROR][row].as_py() is None) == (place in taken or row != 3)
        assert columns[DECODE_S][row].as_py() > 0
        assert columns[WIDTH][row].as_py() == (99 if place in taken else alone[WIDTH][row].as_py())
    for row in (0, 2):
        np.testing.assert_array_equal(pixels[row], pixels_alone[row])
        assert columns[ERROR][row] == alone[ERROR][row]


def test_a_decoder_is_checked_and_what_it_spoils_is_named() -> None:
    flat = encode_jpeg(np.full((48, 60, 3), 9, np.uint8))
    images = [b"no image", flat, ImageError("read", "not_found", "gone"), jpeg(0), jpeg(1)]
    rows = pa.table(
        {SHARD: [7] * 5, URI: [f"https://user:secret@host/{n}.jpg" for n in range(5)]}
        | {name: pa.nulls(5) for name in LOCATION}
    )
    block = pixel_block(rows, images, LIMITS, PREPROCESS, WrongDecoder(LIMITS, PREPROCESS)).packed()
    assert block[DECODE_CHECK].to_pylist() == [None, FLAT, None, None, None]
    assert block[STAGE].to_pylist() == ["decode", None, "read", None, None]
    assert DECODE_CHECK not in pixel_columns(images, LIMITS, PREPROCESS)
    spoiling = WrongDecoder(LIMITS, PREPROCESS, wrong=4)
    with pytest.raises(DecoderMismatchError, match=r"^shard 7: https://[^/]*host/4\.jpg: the GPU gives") as raised:
        pixel_block(rows, images, LIMITS, PREPROCESS, spoiling)
    assert "secret" not in str(raised.value)


def test_pixels_stay_where_they_were_decoded_until_they_are_packed() -> None:
    class OnTensors(WrongDecoder):
        def __call__(self, encoded: Sequence[bytes]) -> FittedBatch:
            pixels_nhwc, sources_hw = super().__call__(encoded)
            return FittedBatch(torch.from_numpy(pixels_nhwc), sources_hw)

    flat = encode_jpeg(np.full((48, 60, 3), 9, np.uint8))
    images = [b"no image", flat, ImageError("read", "not_found", "gone"), jpeg(0), np.full((50, 60, 3), 7, np.uint8)]
    pixels_nhwc, columns = decode_batch(images, LIMITS, PREPROCESS, OnTensors(LIMITS, PREPROCESS))
    assert isinstance(pixels_nhwc, torch.Tensor)
    same_nhwc, same = decode_batch(images, LIMITS, PREPROCESS, WrongDecoder(LIMITS, PREPROCESS))
    np.testing.assert_array_equal(pixels_nhwc.numpy(), same_nhwc)
    assert columns[DECODE_CHECK].to_pylist() == same[DECODE_CHECK].to_pylist() == [None, FLAT, None, None, None]
    block = PixelBlock(pa.table(columns), pixels_nhwc).packed()
    np.testing.assert_array_equal(unpack_pixels(block[PIXELS], 32, 32), same_nhwc)


def test_no_images_at_all() -> None:
    columns = pixel_columns([], LIMITS, PREPROCESS)
    assert {len(column) for column in columns.values()} == {0}


@pytest.mark.parametrize("is_scaled", [True, False])
def test_large_images_are_scaled_unless_that_is_switched_off(is_scaled: bool) -> None:  # noqa: FBT001
    data = jpeg(0)
    columns = pixel_columns([data], Decode(scaled=is_scaled), PREPROCESS)
    pixels = unpack_pixels(pa.chunked_array([columns[PIXELS]]), 32, 32)
    differences = np.abs(pixels[0].astype(int) - fit(decode(data, LIMITS), PREPROCESS))
    assert bool(differences.any()) == is_scaled
    assert differences.max() <= 8


def test_a_block_says_how_many_bytes_of_each_image_were_read_and_not_where_it_lies() -> None:
    images = [jpeg(0), ImageError("read", "not_found", "gone"), b"no image"]
    rows = pa.table({"image_id": ["a", "b", "c"], **{name: pa.nulls(3) for name in LOCATION}})
    block = pixel_block(rows, images, LIMITS, PREPROCESS).rows
    assert block[READ_BYTES].to_pylist() == [len(images[0]), 0, 8]
    assert not set(LOCATION) & set(block.column_names)
