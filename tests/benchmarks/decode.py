"""Measures decoding: images per second on one CPU core, scaled and at full size, and on a GPU where there is one, and
the differences between their pixels.

    PYTHONPATH=tests/fixtures python tests/benchmarks/decode.py --images 256

JPEGs of 500 by 375 and of 4000 by 3000 pixels, from bytes to 224 by 224 pixels in host memory. Pixels are compared
with the CPU's full-size decode; ``scaled`` is the CPU's default. Prints JSON, and on standard error the reason if it
skips the GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace

import mutations
import numpy as np
import pyarrow as pa
import torch
from photos import jpeg

from actors.columns import PIXELS, STAGE, unpack_pixels
from actors.decoding.batch_decoder import load_decoder
from actors.decoding.config import Decode, DecodeDevice
from actors.decoding.pixel_blocks import pixel_columns
from actors.errors import JobError
from actors.preprocess import Preprocess

SIZES = ((500, 375), (4000, 3000))
SCALED, WHOLE, GPU = Decode(), Decode(scaled=False), Decode(device=DecodeDevice.gpu)
PREPROCESS = Preprocess()
TIMED_S = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--images", type=int, default=256, help="per batch of the smaller size; an eighth of that for the larger"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with_gpu = has_gpu()
    figures = {"gpu": torch.cuda.get_device_name(), "outcomes_that_differ": differing_outcomes()} if with_gpu else {}
    for width, height in SIZES:
        count = arguments.images if width == SIZES[0][0] else max(1, arguments.images // 8)
        batch = [jpeg(number, width=width, height=height) for number in range(count)]
        found = cpu_figures(batch) | (gpu_figures(batch) if with_gpu else {})
        figures[f"{width}x{height}"] = {"num_images": count, **found}
    print(json.dumps(figures, indent=1))


def has_gpu() -> bool:
    try:
        load_decoder(GPU, PREPROCESS)
    except JobError as error:
        print(f"without a GPU: {error}", file=sys.stderr)
        return False
    return True


def cpu_figures(batch: list[bytes]) -> dict[str, float]:
    """Measures one core: its rates scaled and at full size, the best of three alternating runs each, and the difference
    of their pixels in grey levels.
    """
    turns = [[decode_rate(batch, limits) for limits in (SCALED, WHOLE)] for _ in range(3)]
    scaled, whole = map(max, zip(*turns, strict=True))
    apart = differences(pixels_of(batch, SCALED), batch)
    return {
        "mean_bytes": round(sum(map(len, batch)) / len(batch)),
        "cpu_core_images_per_s": round(scaled, 1),
        "cpu_core_whole_images_per_s": round(whole, 1),
        "share_of_the_whole_decode": round(whole / scaled, 2),
        **{f"scaled_{name}": value for name, value in apart.items()},
    }


def gpu_figures(batch: list[bytes]) -> dict[str, float]:
    """Measures the whole GPU with the cores of this process."""
    decoder = load_decoder(GPU, PREPROCESS)
    assert decoder
    fitted = [(number, image.image_hwc) for number, image in enumerate(decoder(batch)) if image is not None]
    numbers, pixels = zip(*fitted, strict=True)
    apart = differences(np.stack(pixels), [batch[number] for number in numbers])
    return {
        "gpu_images_per_s": round(decode_rate(batch, GPU), 1),
        "num_done_on_gpu": len(fitted),
        **{f"gpu_{name}": value for name, value in apart.items()},
    }


def decode_rate(encoded: list[bytes], limits: Decode) -> float:
    """Images per second from bytes to pixels in host memory, in batches of ``encoded``. Loading and the first batch do
    not count.
    """
    decoder = load_decoder(limits, PREPROCESS)
    pixel_columns(encoded, limits, PREPROCESS, decoder)
    num_images, started = 0, time.perf_counter()
    while not num_images or time.perf_counter() - started < TIMED_S:
        pixel_columns(encoded, limits, PREPROCESS, decoder)
        num_images += len(encoded)
    return num_images / (time.perf_counter() - started)


def differences(pixels: np.ndarray, batch: list[bytes]) -> dict[str, float]:
    """Differences, in grey levels, of ``pixels`` from the CPU's full-size decode of ``batch``."""
    levels = np.abs(pixels.astype(int) - pixels_of(batch, WHOLE))
    by_image = levels.mean(axis=(1, 2, 3))
    found = {"mean_difference": levels.mean(), "most_of_an_image": by_image.max(), "most_of_a_pixel": levels.max()}
    return {name: round(float(value), 3) for name, value in found.items()}


def pixels_of(batch: list[bytes], limits: Decode) -> np.ndarray:
    columns = pixel_columns(batch, limits, PREPROCESS)
    return unpack_pixels(pa.chunked_array([columns[PIXELS]]), *PREPROCESS.size)


def differing_outcomes(count: int = 2000) -> int:
    """Counts damaged JPEGs with an error on only one of the two devices; must be 0."""
    damaged = list(mutations.mutations(7, count, ".jpg"))
    limits = replace(GPU, max_pixels=10_000_000)
    on_gpu, on_cpu = (
        pixel_columns(damaged, limits, PREPROCESS, decoder)[STAGE]
        for decoder in (load_decoder(limits, PREPROCESS), None)
    )
    return sum(one != other for one, other in zip(on_gpu.to_pylist(), on_cpu.to_pylist(), strict=True))


if __name__ == "__main__":
    main()
