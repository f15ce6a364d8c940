"""Without a GPU, these tests run on nvImageCodec's CPU decoders: the same library with a different backend."""

from __future__ import annotations

import logging
import sys
from typing import Any

import mutations
import numpy as np
import pyarrow as pa
import pytest
import torch
from odd_images import bad_images, odd_images
from photos import jpeg

from actors.columns import ERROR, HEIGHT, MESSAGE, PIXELS, STAGE, WIDTH, unpack_pixels
from actors.decoding.config import Decode, has_nvimgcodec
from actors.decoding.gpu_decoder import GpuDecoder
from actors.decoding.gpu_eligibility import find_plain
from actors.decoding.pixel_blocks import pixel_columns
from actors.device_errors import DeviceLostError
from actors.errors import JobError
from actors.pixel_arrays import to_host
from actors.preprocess import Interpolation, Preprocess

LIMITS = Decode(scaled=False)
PREPROCESS = Preprocess(resize=40, crop=32)
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]
# On the CPU, both decoders are libjpeg-turbo, and only the resize rounds differently; nvJPEG also decodes differently.
MOST = {"cpu": 2, "cuda": 40}
MOST_ON_AVERAGE = {"cpu": 0.4, "cuda": 2.5}

needs_nvimgcodec = pytest.mark.skipif(not has_nvimgcodec(), reason="needs the extra nvimgcodec")


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pixels_of(columns: dict[str, pa.Array], preprocess: Preprocess) -> np.ndarray:
    return unpack_pixels(pa.chunked_array([columns[PIXELS]]), *preprocess.size).astype(int)


def pixels_by(decoder: GpuDecoder, encoded: list[bytes]) -> np.ndarray:
    return to_host(decoder(encoded).pixels_nhwc)


@needs_nvimgcodec
@pytest.mark.parametrize(
    "preprocess",
    [
        PREPROCESS,
        Preprocess(resize=40, crop=32, interpolation=Interpolation.bicubic),
        Preprocess(resize=30, crop=[60, 50]),
        Preprocess(resize=[50, 70], crop=None),
        Preprocess(resize=None, crop=50),
        Preprocess(resize=40, crop=32, antialias=False, crop_offset="floor"),
        Preprocess(resize=40, crop=None, resize_mode="longest_side", pad_color=[9, 99, 199], pad_position="top_left"),
    ],
    ids=str,
)
def test_every_plain_jpeg_gets_the_pixels_of_the_cpu(device: str, preprocess: Preprocess) -> None:
    encoded = [*odd_images().values(), jpeg(0), jpeg(1, width=300, height=400)]
    places = [plain.place for plain in find_plain(encoded, LIMITS, preprocess)]
    decoder = GpuDecoder(LIMITS, preprocess, device=device)
    fitted = decoder(encoded)
    by_cpu = pixel_columns(encoded, LIMITS, preprocess)
    expected = pixels_of(by_cpu, preprocess)
    assert fitted.pixels_nhwc.device.type == device
    done = [place for place, source_hw in enumerate(fitted.sources_hw) if source_hw]
    assert set(done) <= set(places)
    assert len(done) >= len(places) - 2  # decoders may differ on damaged_inside.jpg and junk_before_end.jpg
    for place in done:
        difference = np.abs(to_host(fitted.pixels_nhwc)[place] - expected[place])
        assert fitted.sources_hw[place] == (by_cpu[HEIGHT][place].as_py(), by_cpu[WIDTH][place].as_py())
        assert difference.max() <= MOST[device], place
        assert difference.mean() <= MOST_ON_AVERAGE[device], place
        assert preprocess.resize or device == "cuda" or not difference.any()


@needs_nvimgcodec
def test_every_image_has_the_outcome_of_the_cpu(device: str) -> None:
    bad = [data for data, _ in bad_images().values()]
    encoded = [*odd_images().values(), *bad, *mutations.mutations(11, 200, ".jpg"), b""]
    with_decoder = pixel_columns(encoded, LIMITS, PREPROCESS, GpuDecoder(LIMITS, PREPROCESS, device=device))
    without = pixel_columns(encoded, LIMITS, PREPROCESS)
    for name in (STAGE, ERROR, MESSAGE):
        assert with_decoder[name].equals(without[name])
    assert without[STAGE].null_count > 100
    assert len(find_plain(encoded, LIMITS, PREPROCESS)) > 40


@needs_nvimgcodec
def test_an_image_gets_the_same_pixels_however_it_is_batched(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = [jpeg(number, width=80 + number % 3, height=60) for number in range(8)]
    decoder = GpuDecoder(LIMITS, PREPROCESS, device=device)
    together = pixels_by(decoder, encoded)
    monkeypatch.setattr("actors.decoding.gpu_eligibility._CHUNK_PIXELS", 10_000)
    np.testing.assert_array_equal(pixels_by(decoder, encoded), together)
    np.testing.assert_array_equal([pixels_by(decoder, [data])[0] for data in encoded], together)
    assert decoder([]).sources_hw == []


@needs_nvimgcodec
def test_images_of_one_size_are_resized_together_as_far_as_memory_allows(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = [jpeg(number, width=width, height=60) for number, width in enumerate((80, 90, 80, 60, 80, 90))]
    decoder = GpuDecoder(LIMITS, PREPROCESS, device=device)
    sizes: list[int] = []
    interpolate = torch.nn.functional.interpolate

    def counting(batch: torch.Tensor, **options: Any) -> torch.Tensor:
        sizes.append(len(batch))
        return interpolate(batch, **options)

    monkeypatch.setattr("torch.nn.functional.interpolate", counting)
    together = pixels_by(decoder, encoded)
    assert sizes == [3, 2, 1]
    monkeypatch.setattr("actors.decoding.gpu_decoder._GROUP_PIXELS", 2 * 80 * 60)
    np.testing.assert_array_equal(pixels_by(decoder, encoded), together)
    assert sizes[3:] == [2, 1, 1, 1, 1]


@needs_nvimgcodec
def test_what_the_device_has_no_memory_for_is_left_to_the_cpu(
    device: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decoder = GpuDecoder(LIMITS, PREPROCESS, device=device)
    monkeypatch.setattr("torch.nn.functional.interpolate", _raising(torch.OutOfMemoryError("CUDA out of memory")))
    with caplog.at_level(logging.WARNING, "shardlens"):
        assert decoder([jpeg(0), jpeg(1)]).sources_hw == [None, None]
    assert caplog.messages == ["the GPU has no memory for 2 images, so the CPU decodes them: CUDA out of memory"]


@needs_nvimgcodec
def test_a_device_without_memory_for_the_batch_decodes_into_that_of_the_cpu(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, encoded, zeros = GpuDecoder(LIMITS, PREPROCESS, device=device), [jpeg(0), b"", jpeg(1)], torch.zeros
    wanted = pixels_by(decoder, encoded)

    def full(*shape: Any, **options: Any) -> torch.Tensor:
        if "device" in options:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return zeros(*shape, **options)

    monkeypatch.setattr("torch.zeros", full)
    fitted = decoder(encoded)
    assert fitted.pixels_nhwc.device.type == "cpu"
    np.testing.assert_array_equal(to_host(fitted.pixels_nhwc), wanted)
    assert [bool(source_hw) for source_hw in fitted.sources_hw] == [True, False, True]


@needs_nvimgcodec
def test_a_lost_device_is_reported(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = GpuDecoder(LIMITS, PREPROCESS, device=device)
    lost = RuntimeError("CUDA error: an illegal memory access was encountered")
    monkeypatch.setattr("torch.nn.functional.interpolate", _raising(lost))
    with pytest.raises(DeviceLostError, match="illegal memory access"):
        decoder([jpeg(0)])


@needs_nvimgcodec
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_pretends_to_be_one() -> None:
    with pytest.raises(JobError, match=r"decode\.device=gpu: PyTorch .* finds no GPU here"):
        GpuDecoder(LIMITS, PREPROCESS)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", None)
    monkeypatch.delattr(sys.modules.get("nvidia"), "nvimgcodec", raising=False)
    with pytest.raises(
        JobError, match=r"decode\.device=gpu: nvImageCodec cannot be imported.*\n.*shardlens\[nvimgcodec\]"
    ):
        GpuDecoder(LIMITS, PREPROCESS)


def _raising(error: Exception) -> object:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_an_interpolation_that_pytorch_lacks_is_refused() -> None:
    with pytest.raises(JobError, match=r"decode\.device=gpu: PyTorch does not resize with lanczos"):
        GpuDecoder(LIMITS, Preprocess(interpolation="lanczos"), device="cpu")
