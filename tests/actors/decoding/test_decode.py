from __future__ import annotations

import ast
import collections
import io
import logging
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mutations
import numpy as np
import pytest
from odd_images import bad_images, encode, exif, odd_images, picture, png
from PIL import Image, ImageFile, ImageOps

from actors.decoding.config import Decode
from actors.decoding.decode import decode, decode_scaled
from actors.errors import ImageError

LIMITS = Decode()
ODD = odd_images()
BAD = bad_images()
BROKEN_EXIF = {"no_exif_at_all.jpg"}  # exif_transpose itself fails on these


def decode_by_pillow(data: bytes, *, is_upright: bool = True) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data))
        image.load()
        image = ImageOps.exif_transpose(image) if is_upright else image
    if not image.mode.startswith("I"):
        return np.asarray(image.convert("RGB"))
    return np.stack([(np.asarray(image) // 256).astype(np.uint8)] * 3, axis=2)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_image_gives_the_pixels_of_pillow_by_the_stated_rules(name: str) -> None:
    image_hwc = decode(ODD[name], LIMITS)
    np.testing.assert_array_equal(image_hwc, decode_by_pillow(ODD[name], is_upright=name not in BROKEN_EXIF))
    assert image_hwc.dtype == np.uint8
    assert image_hwc.flags.c_contiguous
    assert image_hwc.flags.writeable


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_refused_with_its_kind(name: str) -> None:
    data, kind = BAD[name]
    with pytest.raises(ImageError) as caught:
        decode(data, LIMITS)
    assert (caught.value.stage, caught.value.kind) == ("decode", kind)
    assert caught.value.message


def test_the_makers_make_enough_and_the_same_each_time() -> None:
    assert len(BAD) >= 18
    assert len(ODD) + len(BAD) >= 40
    assert sum(map(len, ODD.values())) + sum(len(data) for data, _ in BAD.values()) < 2_000_000
    assert (odd_images(), bad_images()) == (ODD, BAD)


def test_grey_is_repeated_and_its_high_byte_kept() -> None:
    data = png(2, 1, depth=16, colour=0, rows=b"\0\x80\xff\x01\x00")
    assert decode(data, LIMITS).tolist() == [[[0x80] * 3, [0x01] * 3]]


def test_alpha_is_dropped_without_compositing() -> None:
    data = png(1, 1, depth=8, colour=6, rows=b"\0\x0a\x14\x1e\x00")
    assert decode(data, LIMITS).tolist() == [[[10, 20, 30]]]


def test_an_orientation_turns_the_pixels_and_swaps_height_and_width() -> None:
    data = encode(picture(4, 6), "PNG", exif=exif(6))
    np.testing.assert_array_equal(decode(data, LIMITS), np.rot90(np.asarray(picture(4, 6)), -1))


@pytest.mark.parametrize("name", ["orientation_1.jpg", "rgba.png", "cmyk.jpg", "lzw.tiff", "lossy.webp", "rgb.bmp"])
def test_the_limit_on_pixels_holds_for_every_format(name: str) -> None:
    height, width, _ = decode(ODD[name], LIMITS).shape
    assert decode(ODD[name], Decode(max_pixels=height * width)).shape == (height, width, 3)
    with pytest.raises(ImageError, match=f"{width} x {height} is .* more than decode.max_pixels={height * width - 1}"):
        decode(ODD[name], Decode(max_pixels=height * width - 1))


def test_the_limit_on_bytes() -> None:
    data = ODD["grey.jpg"]
    assert decode(data, Decode(max_bytes=len(data))).size
    with pytest.raises(ImageError, match=f"{len(data)} bytes, more than decode.max_bytes={len(data) - 1}") as caught:
        decode(data, Decode(max_bytes=len(data) - 1))
    assert caught.value.kind == "too_large"


def test_a_good_photograph_is_never_touched_by_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.decoding.decode.decode_with_pillow", None)
    for name in ("restart_markers.jpg", "progressive.jpg", "grey.jpg", "orientation_6.jpg", "two_pictures.mpo"):
        assert decode(ODD[name], LIMITS).size


@pytest.mark.parametrize("action", ["error", "always"])
def test_nothing_is_printed_and_no_warning_leaves(action: str, capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("PIL").handlers.clear()
    with warnings.catch_warnings(record=action == "always") as caught:
        warnings.simplefilter(action)  # type: ignore[arg-type]
        for data in [*ODD.values(), *(data for data, _ in BAD.values()), *mutations.mutations(2, 300, ".tiff")]:
            mutations.outcome(data, LIMITS)
    assert not caught
    assert capfd.readouterr() == ("", "")


def test_the_settings_of_pillow_stay_as_they_are() -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    for data in ODD.values():
        decode(data, LIMITS)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before == (89478485, False)


def test_threads_do_not_disturb_one_another() -> None:
    alone = [decode(data, LIMITS) for data in ODD.values()]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda data: decode(data, LIMITS), list(ODD.values()) * 3))
    for number, image_hwc in enumerate(together):
        np.testing.assert_array_equal(image_hwc, alone[number % len(alone)])


@pytest.mark.parametrize("orientation", [4, 5, 6])
def test_a_turned_row_is_laid_out_as_any_other(orientation: int) -> None:
    image_hwc = decode(encode(picture(1, 40), "PNG", exif=exif(orientation)), LIMITS)
    assert min(image_hwc.strides) > 0


def test_an_image_scaled_down_has_the_outcome_of_the_whole() -> None:
    damaged = [*ODD.values(), *(data for data, _ in BAD.values()), *mutations.mutations(5, 300, ".jpg")]
    outcomes = collections.Counter(mutations.outcome(data, LIMITS) for data in damaged)
    assert outcomes == collections.Counter(_scaled_outcome(data) for data in damaged)
    assert outcomes["ok"] > 100
    assert outcomes["truncated"] > 10


def _scaled_outcome(data: bytes) -> str:
    try:
        decoded = decode_scaled(data, LIMITS, lambda _height, _width: (1, 1))
    except ImageError as error:
        return error.kind
    assert decoded.image_hwc.flags.c_contiguous
    assert decoded.image_hwc.flags.writeable
    return "ok"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".gif"])
def test_damaged_bytes_give_pixels_or_an_image_error(suffix: str) -> None:
    outcomes = {mutations.outcome(data, LIMITS) for data in mutations.mutations(1, 200, suffix)}
    assert {"ok", "truncated", "corrupt"} <= outcomes <= mutations.KINDS


def test_damaged_bytes_cannot_crash_or_exhaust_a_process() -> None:
    script = Path(mutations.__file__)
    done = subprocess.run([sys.executable, script, "3", "1500"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    outcomes = ast.literal_eval(done.stdout.splitlines()[-1])
    assert sum(outcomes.values()) == 1500
    assert outcomes.keys() <= mutations.KINDS - {"out_of_memory"}
