"""Images per second of decoding on one CPU core and on the GPU, and how far their pixels are apart.

    PYTHONPATH=tests/fixtures python tests/benchmarks/gpu_decode.py --images 256

JPEGs of 500 by 375 and of 4000 by 3000 pixels, from bytes to 224 by 224 pixels in host memory. Pixels are held against
those of the CPU's full decode; ``scaled`` is what the CPU does by default. Prints JSON; without a GPU, or without the
extra nvimgcodec, a sentence, and the exit status is 2.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

import mutations
import numpy as np
import pyarrow as pa
import torch
from photos import jpeg

from actors.columns import PIXELS, STAGE, unpack_pixels
from actors.decode import Decode, DecodeDevice
from actors.decoders import decode_rate, load_decoder
from actors.errors import JobError
from actors.pixels import pixel_columns
from actors.preprocess import Preprocess

SIZES = ((500, 375), (4000, 3000))
SCALED, WHOLE, GPU = Decode(), Decode(scaled=False), Decode(device=DecodeDevice.gpu)
PREPROCESS = Preprocess()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256, help="of a batch of the smaller size; the larger has an 8th")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        load_decoder(GPU, PREPROCESS)
    except JobError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    figures = {"gpu": torch.cuda.get_device_name(), "outcomes_that_differ": differing_outcomes()}
    for width, height in SIZES:
        count = arguments.images if width == SIZES[0][0] else max(1, arguments.images // 8)
        batch = [jpeg(number, width=width, height=height) for number in range(count)]
        figures[f"{width}x{height}"] = {"num_images": count, **rates(batch), **differences(batch)}
    print(json.dumps(figures, indent=1))


def rates(batch: list[bytes]) -> dict[str, float]:
    """Of one core, and of the whole GPU with the cores that this process has."""
    return {
        "cpu_core_images_per_s": round(decode_rate(batch, SCALED, PREPROCESS, DecodeDevice.cpu), 1),
        "cpu_core_whole_images_per_s": round(decode_rate(batch, WHOLE, PREPROCESS, DecodeDevice.cpu), 1),
        "gpu_images_per_s": round(decode_rate(batch, GPU, PREPROCESS, DecodeDevice.gpu), 1),
    }


def differences(batch: list[bytes]) -> dict[str, float]:
    """Grey levels between the GPU's pixels, or the CPU's scaled ones, and those of the CPU's full decode."""
    decoder = load_decoder(GPU, PREPROCESS)
    assert decoder
    fitted = [pixels for pixels in decoder(batch) if pixels is not None]
    whole, scaled = (pixels_of(pixel_columns(batch, limits, PREPROCESS)) for limits in (WHOLE, SCALED))
    found = {"num_done_on_gpu": float(len(fitted))}
    for name, pixels in (("gpu", np.stack(fitted)), ("scaled", scaled)):
        levels = np.abs(pixels.astype(int) - whole)
        found |= {f"{name}_mean_difference": round(float(levels.mean()), 4), f"{name}_most": float(levels.max())}
    return found


def differing_outcomes(count: int = 2000) -> int:
    """Damaged JPEGs that are an error on one of the two and none on the other: there must be none."""
    damaged = list(mutations.mutations(7, count, ".jpg"))
    limits = replace(GPU, max_pixels=10_000_000)
    on_gpu, on_cpu = (
        pixel_columns(damaged, limits, PREPROCESS, decoder)[STAGE]
        for decoder in (load_decoder(limits, PREPROCESS), None)
    )
    return sum(one != other for one, other in zip(on_gpu.to_pylist(), on_cpu.to_pylist(), strict=True))


def pixels_of(columns: dict[str, pa.Array]) -> np.ndarray:
    return unpack_pixels(pa.chunked_array([columns[PIXELS]]), *PREPROCESS.size)


if __name__ == "__main__":
    main()
