from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from odd_images import odd_images
from photos import jpeg
from simplejpeg import encode_jpeg
from wrong_decoders import fitted_batch

from actors.columns import DRAWN, FLAT
from actors.decoding.config import Decode, FittedImage
from actors.decoding.decode import decode
from actors.decoding.gpu_check import Checked, DecodeCheck, _is_drawn
from actors.errors import DecoderMismatchError, ImageError
from actors.preprocess import Preprocess, fit

PREPROCESS = Preprocess(resize=40, crop=32)
LIMITS = Decode()
SIZE = (48, 60)


def check(data: bytes, gpu_hwc: np.ndarray) -> Checked:
    """Checks an image in the middle of a batch, next to images left to the CPU."""
    batch = fitted_batch([None, FittedImage(gpu_hwc, SIZE), None], PREPROCESS)
    [(place, checked)] = DecodeCheck(LIMITS, PREPROCESS)([b"", data, b""], batch).items()
    assert place == 1
    assert not isinstance(checked.by_cpu, FittedImage) or checked.by_cpu.source_hw == SIZE
    return checked


def by_cpu(checked: Checked) -> np.ndarray:
    assert isinstance(checked.by_cpu, FittedImage)
    return checked.by_cpu.image_hwc


def small(number: int) -> bytes:
    return jpeg(number, width=60, height=48)


def pixels(data: bytes) -> np.ndarray:
    return fit(decode(data, LIMITS), PREPROCESS)


def drawn() -> bytes:
    """Returns a photograph that the check draws, which depends on bytes after its end."""
    base = small(0)
    return next(data for number in range(20_000) if _is_drawn(data := base + number.to_bytes(4, "big")))


def green(right_hwc: np.ndarray) -> np.ndarray:
    """Returns an image in the colour of YCbCr zeros."""
    return np.full_like(right_hwc, (0, 135, 0))


@pytest.mark.parametrize("spoil", [np.zeros_like, green, lambda right: np.full_like(right, 255)])
def test_an_image_of_one_colour_that_the_cpu_gives_another_picture_for(
    spoil: Callable[[np.ndarray], np.ndarray],
) -> None:
    right_hwc = pixels(small(0))
    with pytest.raises(
        DecoderMismatchError, match=r"^the GPU gives a single colour, up to \d+ grey levels off the CPU$"
    ):
        check(small(0), spoil(right_hwc))


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(resize=None, crop=[64, 64]),
        Preprocess(resize=[64, 64], resize_mode="longest_side", crop=None, pad_color=[114, 114, 115]),
        Preprocess(
            resize=[64, 90], resize_mode="longest_side", crop=None, pad_color=[9, 0, 0], pad_position="top_left"
        ),
    ],
    ids=str,
)
def test_an_image_of_one_colour_shows_in_spite_of_its_padding(preprocess: Preprocess) -> None:
    data = small(0)
    right_hwc = fit(decode(data, LIMITS), preprocess)
    rows, columns = (axis.shown for axis in preprocess.axes(*SIZE))
    wrong_hwc = right_hwc.copy()
    wrong_hwc[rows, columns] = (0, 135, 0)
    assert (wrong_hwc[-1, -1] == preprocess.pad_color).all()
    wrong = fitted_batch([FittedImage(wrong_hwc, SIZE)], preprocess)
    with pytest.raises(DecoderMismatchError, match="single colour"):
        DecodeCheck(LIMITS, preprocess)([data], wrong)
    right = fitted_batch([FittedImage(right_hwc, SIZE)], preprocess)
    assert DecodeCheck(LIMITS, preprocess)([data], right)[0].reason is None


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 60)])
def test_an_image_that_is_of_one_colour_is_decoded_again_and_stays_as_the_cpu_sees_it(colour: tuple[int, ...]) -> None:
    data = encode_jpeg(np.full((48, 60, 3), colour, np.uint8))
    right_hwc = pixels(data)
    rounded_hwc = np.full_like(right_hwc, np.clip(right_hwc[0, 0].astype(int) + 2, 0, 255))  # GPUs may round so
    checked = check(data, rounded_hwc)
    assert checked.reason == FLAT
    np.testing.assert_array_equal(by_cpu(checked), right_hwc)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda right: np.where(np.arange(32)[:, None, None] < 16, right, 0),  # the lower half is missing
        lambda right: right[:, :, ::-1].copy(),  # BGR
        lambda right: np.roll(right, 1000),
        lambda _: pixels(small(1)),  # the pixels of another image in the batch
    ],
    ids=["half", "bgr", "rolled", "neighbour"],
)
def test_one_in_a_thousand_is_compared(spoil: Callable[[np.ndarray], np.ndarray]) -> None:
    data = drawn()
    right_hwc = pixels(data)
    near_hwc = np.clip(right_hwc.astype(int) + np.random.default_rng(0).integers(-4, 5, right_hwc.shape), 0, 255)
    checked = check(data, near_hwc.astype(np.uint8))
    assert checked.reason == DRAWN
    assert checked.by_cpu is None  # the GPU's pixels are kept, for consistency
    with pytest.raises(
        DecoderMismatchError, match=r"^the GPU's pixels are \d+\.\d grey levels off the CPU's on average$"
    ):
        check(data, spoil(right_hwc))
    assert check(small(0), spoil(right_hwc)).reason is None  # not drawn


def test_the_draw_is_by_the_bytes_and_takes_one_in_a_thousand() -> None:
    rng = np.random.default_rng(5)
    images = [rng.bytes(int(length)) for length in rng.integers(1, 9000, 20_000)]
    draws = [_is_drawn(data) for data in images]
    assert 10 < sum(draws) < 34  # 20 plus or minus three standard deviations
    assert draws == [_is_drawn(data) for data in images]


def test_damage_is_not_blamed_on_the_gpu() -> None:
    black_hwc = np.zeros((32, 32, 3), np.uint8)
    damaged = odd_images()["damaged_inside.jpg"]
    outcome = check(damaged, black_hwc)
    assert outcome.reason == FLAT
    np.testing.assert_array_equal(by_cpu(outcome), pixels(damaged))
    assert np.ptp(pixels(damaged)) > 100
    assert isinstance(check(small(0)[:500], black_hwc).by_cpu, ImageError)
