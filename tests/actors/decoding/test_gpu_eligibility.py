from __future__ import annotations

import math

import mutations
import pytest
from odd_images import bad_images, behind_soi, encode, exif, odd_images, picture, segment
from photos import jpeg

from actors.decoding.config import Decode
from actors.decoding.decode import decode
from actors.decoding.gpu_eligibility import chunks, find_plain
from actors.preprocess import Preprocess

LIMITS = Decode()
PREPROCESS = Preprocess(resize=40, crop=32)
ODD = odd_images()
# Truncated, oddly laid out, progressive, in other colour spaces, or so long and thin that only a strip is resized.
NOT_PLAIN = {
    "cmyk.jpg",
    "ycck.jpg",
    "adobe_rgb.jpg",
    "progressive.jpg",
    "progressive_grey.jpg",
    "progressive_trailing_scans.jpg",
    "subsampling_uneven.jpg",
    "fill_bytes.jpg",
    "broken_exif.jpg",
    "no_exif_at_all.jpg",
    "wide_5000.jpg",
    "tall_5000.jpg",
}


def is_taken(data: bytes, limits: Decode = LIMITS, preprocess: Preprocess = PREPROCESS) -> bool:
    return bool(find_plain([data], limits, preprocess))


def test_plain_jpegs_alone_are_taken() -> None:
    jpegs = {name for name, data in ODD.items() if data.startswith(b"\xff\xd8\xff")}
    assert {name for name in jpegs if is_taken(ODD[name])} == jpegs - NOT_PLAIN
    assert not any(is_taken(data) for name, data in ODD.items() if name not in jpegs)


@pytest.mark.parametrize("name", bad_images())
def test_what_the_cpu_refuses_is_not_taken(name: str) -> None:
    assert not is_taken(bad_images()[name][0])


def test_a_file_cut_anywhere_is_not_taken() -> None:
    whole = jpeg(0, width=90, height=60)
    assert is_taken(whole)
    assert not any(is_taken(whole[:length]) for length in range(len(whole)))


def test_what_is_taken_decodes_on_the_cpu() -> None:
    damaged = list(mutations.mutations(21, 1500, ".jpg"))
    taken = [plain.data for plain in find_plain(damaged, LIMITS, PREPROCESS)]
    assert len(taken) > 100
    assert {mutations.outcome(data, LIMITS) for data in taken} == {"ok"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_geometry_is_that_of_the_upright_image(orientation: int) -> None:
    data = behind_soi(encode(picture(45, 62), "JPEG"), segment(0xE1, exif(orientation)))
    [plain] = find_plain([data], LIMITS, PREPROCESS)
    height, width, _ = decode(data, LIMITS).shape
    assert plain.stored == (45, 62)
    assert plain.resized == PREPROCESS.resized(height, width)
    assert [axis.length for axis in plain.axes] == list(plain.resized)
    assert [axis.stop - axis.start for axis in plain.axes] == [32, 32]


def test_places_are_those_in_the_batch() -> None:
    batch = [b"", jpeg(0), b"\xff\xd8\xff", jpeg(1)]
    assert [(plain.place, plain.data) for plain in find_plain(batch, LIMITS, PREPROCESS)] == [
        (1, batch[1]),
        (3, batch[3]),
    ]


def test_the_limits_are_met_exactly() -> None:
    data = jpeg(0, width=100, height=70)
    assert is_taken(data, Decode(max_pixels=7000, max_bytes=len(data)))
    assert not is_taken(data, Decode(max_pixels=6999))
    assert not is_taken(data, Decode(max_bytes=len(data) - 1))


def test_what_a_gpu_does_badly_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg(0, width=400, height=330)
    assert is_taken(data, preprocess=Preprocess(resize=[10, 10], crop=None))
    assert not is_taken(data, preprocess=Preprocess(resize=[8, 10], crop=None))  # reduced more than 40 times
    assert is_taken(data, preprocess=Preprocess(resize=[330, 2000], crop=None))
    monkeypatch.setattr("actors.decoding.gpu_eligibility._MOST_PIXELS", 330 * 2000 - 1)
    assert not is_taken(data, preprocess=Preprocess(resize=[330, 2000], crop=None))
    monkeypatch.setattr("actors.decoding.gpu_eligibility._MOST_PIXELS", 330 * 400 - 1)
    assert not is_taken(data)


def test_chunks_hold_so_many_pixels_and_every_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.decoding.gpu_eligibility._CHUNK_PIXELS", 20_000)
    sizes = [(100, 100), (100, 100), (100, 101), (300, 200), (90, 90), (90, 90)]
    images = find_plain([jpeg(0, height=height, width=width) for height, width in sizes], LIMITS, PREPROCESS)
    parts = list(chunks(images))
    assert [[plain.place for plain in part] for part in parts] == [[0, 1], [2], [3], [4, 5]]
    assert [plain.num_pixels for plain in images] == [math.prod(size) for size in sizes]
    assert list(chunks([])) == []
