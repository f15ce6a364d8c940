"""Measures decoding: images per second on one CPU core, scaled and at full size, and on a GPU if there is one; the
differences between their pixels; and the CPU milliseconds of each step from file to block.

    PYTHONPATH=tests/fixtures python tests/benchmarks/decode.py --images 256

Decodes JPEGs of 500 by 375 and 4000 by 3000 pixels from bytes to 224 by 224 pixels in host memory. Compares the pixels
with the CPU's full-size decode; ``scaled`` is the CPU's default. Prints JSON; if it skips the GPU, it prints the reason
to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import mutations
import numpy as np
import pyarrow as pa
import simplejpeg
import torch
from photos import jpeg
from read_plans import plan_over

from actors.columns import PIXELS, STAGE, pack_pixels, unpack_pixels
from actors.decoding import jpeg_header
from actors.decoding.batch_decoder import load_decoder
from actors.decoding.config import Decode, DecodeDevice
from actors.decoding.decode import decode_scaled
from actors.decoding.pixel_blocks import pixel_block, pixel_columns
from actors.decoding.turbo_decoder import stored_size
from actors.errors import JobError
from actors.preprocess import Preprocess, fit
from actors.reading.fetcher import Fetcher
from actors.reading.reader import ReadPlan, read_piece
from actors.row_ranges import Piece
from actors.storage.store import Storage
from actors.tracking.ledger import Ledger

SIZES = ((500, 375), (4000, 3000))
SCALED, WHOLE, GPU = Decode(), Decode(scaled=False), Decode(device=DecodeDevice.gpu)
PREPROCESS = Preprocess()
TIMED_S = 1.0
ROUNDS = 15


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
        found["cpu_ms_an_image"] = step_figures(batch)
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
    """Measures one core: its rates scaled and at full size, each the best of three alternating runs, and the difference
    between their pixels in grey levels.
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


def step_figures(batch: list[bytes]) -> dict[str, float]:
    """Measures a read task without a model: CPU milliseconds per image for each step alone and for the whole task, the
    minimum of `ROUNDS` alternating rounds. ``decode`` includes ``headers``; ``limit`` is libjpeg-turbo plus ``resize``.
    """
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(batch, Path(folder))
        steps = steps_of(plan, batch)
        least = dict.fromkeys(steps, float("inf"))
        for _ in range(ROUNDS):
            for name, step in steps.items():
                started = time.process_time()
                step()
                least[name] = min(least[name], (time.process_time() - started) / len(batch) * 1e3)
    least["limit"] = least["libjpeg_turbo"] + least["resize"]
    figures = {name: round(value, 4) for name, value in least.items()}
    return figures | {"share_of_the_limit": round(least["limit"] / least["file_to_block"], 3)}


def plan_of(batch: list[bytes], folder: Path) -> ReadPlan:
    images = {f"{number:06d}.jpg": data for number, data in enumerate(batch)}
    return replace(
        plan_over(folder, images, Storage(), shard_size=len(batch)), preprocess=PREPROCESS, batch_size=len(batch)
    )


def steps_of(plan: ReadPlan, batch: list[bytes]) -> dict[str, Callable[[], object]]:
    piece = Piece(0, ((0, len(batch)),))
    rows = plan.shards.load_piece(piece)
    decoded = [decode_scaled(data, SCALED, PREPROCESS.resized) for data in batch]
    least = [dict(zip(("min_height", "min_width"), image.image_hwc.shape, strict=False)) for image in decoded]
    pixels = pixels_of(batch, SCALED).copy()

    def fetch() -> None:
        with closing(Fetcher(plan.shards, plan.storage).batches(rows, plan.batch_size)) as batches:
            assert sum(len(images) for _, images in batches) == len(batch)

    # maxlen=0 drops each result, as the product does: keeping them would need fresh pages.
    each = partial(deque, maxlen=0)
    return {
        "read": fetch,
        "headers": lambda: each((jpeg_header.read_header(data), stored_size(data)) for data in batch),
        "libjpeg_turbo": lambda: each(
            simplejpeg.decode_jpeg(data, "RGB", strict=True, **size) for data, size in zip(batch, least, strict=True)
        ),
        "decode": lambda: each(decode_scaled(data, SCALED, PREPROCESS.resized) for data in batch),
        "resize": lambda: each(fit(image.image_hwc, PREPROCESS, image.extent) for image in decoded),
        "pack": lambda: pack_pixels(pixels),
        "decode_to_block": lambda: pixel_block(rows, batch, SCALED, PREPROCESS).packed(),
        "file_to_block": lambda: each(read_piece(plan, piece, Ledger())),
    }


def gpu_figures(batch: list[bytes]) -> dict[str, float]:
    """Measures the whole GPU, fed by the CPU cores of this process."""
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
    """Returns images per second, from bytes to pixels in host memory, in batches of ``encoded``. Excludes loading and
    the first batch.
    """
    decoder = load_decoder(limits, PREPROCESS)
    pixel_columns(encoded, limits, PREPROCESS, decoder)
    num_images, started = 0, time.perf_counter()
    while not num_images or time.perf_counter() - started < TIMED_S:
        pixel_columns(encoded, limits, PREPROCESS, decoder)
        num_images += len(encoded)
    return num_images / (time.perf_counter() - started)


def differences(pixels: np.ndarray, batch: list[bytes]) -> dict[str, float]:
    """Returns the differences, in grey levels, between ``pixels`` and the CPU's full-size decode of ``batch``."""
    levels = np.abs(pixels.astype(int) - pixels_of(batch, WHOLE))
    by_image = levels.mean(axis=(1, 2, 3))
    found = {"mean_difference": levels.mean(), "most_of_an_image": by_image.max(), "most_of_a_pixel": levels.max()}
    return {name: round(float(value), 3) for name, value in found.items()}


def pixels_of(batch: list[bytes], limits: Decode) -> np.ndarray:
    columns = pixel_columns(batch, limits, PREPROCESS)
    return unpack_pixels(pa.chunked_array([columns[PIXELS]]), *PREPROCESS.size)


def differing_outcomes(count: int = 2000) -> int:
    """Counts damaged JPEGs that fail on only one of the two devices; must be 0."""
    damaged = list(mutations.mutations(7, count, ".jpg"))
    limits = replace(GPU, max_pixels=10_000_000)
    on_gpu, on_cpu = (
        pixel_columns(damaged, limits, PREPROCESS, decoder)[STAGE]
        for decoder in (load_decoder(limits, PREPROCESS), None)
    )
    return sum(one != other for one, other in zip(on_gpu.to_pylist(), on_cpu.to_pylist(), strict=True))


if __name__ == "__main__":
    main()
