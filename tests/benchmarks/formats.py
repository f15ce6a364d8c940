"""Compares decoded TIFF files of many layouts with the output of libtiff's own program, as a table.

    PYTHONPATH=tests/fixtures python tests/benchmarks/formats.py

Needs tiff2rgba and tiffcp (Debian's libtiff-tools). Each row counts the files of one layout that are correct (within
one grey level), rejected with a reason, or wrong. Exits with status 1 if any is wrong.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tiffs import BLACK_IS_ZERO, CIELAB, CMYK, FLOAT, PALETTE, RGB, SIGNED, WHITE_IS_ZERO, Tiff, ramp

from actors.decoding.config import Decode
from actors.decoding.decode import decode
from actors.errors import ImageError

KINDS = {
    WHITE_IS_ZERO: ("grey, white is 0", 1), BLACK_IS_ZERO: ("grey, black is 0", 1), RGB: ("RGB", 3),
    PALETTE: ("palette", 1), CMYK: ("CMYK", 4), CIELAB: ("CIELab", 3),
}  # fmt: skip
COPIES = (
    "-c lzw", "-c lzw:2", "-c zip:2", "-c packbits", "-c zstd", "-c jpeg", "-t -w 16 -l 16", "-B", "-p separate",
    "-f lsb2msb", "-c lzw -r 5", "-8",
)  # fmt: skip


def layouts() -> Iterator[tuple[str, Tiff]]:
    for photometric, (name, samples) in KINDS.items():
        for bits in (1, 2, 4, 6, 8, 10, 12, 14, 16, 24, 32):
            for planar in (1, 2) if samples > 1 else (1,):
                for sample_format in (1, SIGNED, FLOAT) if bits in {16, 32} else (1, SIGNED):
                    for order in "<>" if bits > 8 else "<":
                        is_indexed = photometric == PALETTE and bits <= 8
                        table = [
                            7919 * n % (256 if bits == 4 else 65536) for n in range(3 << bits if is_indexed else 0)
                        ]
                        extra = {320: ("H", table)} if is_indexed else {}
                        yield name, Tiff(photometric, bits, samples, planar, sample_format, order, 1, extra)


def encoded(tiff: Tiff) -> bytes:
    values = ramp(samples=tiff.samples)
    if tiff.sample_format == FLOAT:
        return tiff.encode(values)
    whole = np.round(values * ((1 << tiff.bits) - 1)).astype(np.int64)
    shift = 1 << (tiff.bits - 1) if tiff.sample_format == SIGNED and tiff.bits in {8, 16, 32} else 0
    return tiff.encode(whole - shift)


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name, tiff in layouts():
        yield f"{name}, {tiff.bits} bits", encoded(tiff)
        if tiff.bits in {1, 8, 16} and tiff.planar == 1 and tiff.sample_format == 1 and tiff.order == "<":
            (folder / "plain.tif").write_bytes(encoded(tiff))
            for options in COPIES:
                copy = folder / "copy.tif"
                copy.unlink(missing_ok=True)
                command = ["tiffcp", *options.split(), folder / "plain.tif", copy]
                if not subprocess.run(command, capture_output=True, check=False).returncode and copy.exists():
                    yield f"{name}, {tiff.bits} bits, tiffcp {options}", copy.read_bytes()


def truth(data: bytes, folder: Path) -> np.ndarray | None:
    """Returns the pixels decoded by tiff2rgba; None if it fails."""
    (folder / "asked.tif").write_bytes(data)
    (folder / "told.tif").unlink(missing_ok=True)
    command = ["tiff2rgba", "-c", "none", "-n", folder / "asked.tif", folder / "told.tif"]
    subprocess.run(command, capture_output=True, check=False)
    if not (folder / "told.tif").exists():
        return None
    try:
        return np.asarray(Image.open(folder / "told.tif"))[:, :, :3].astype(int)
    except (OSError, ValueError):
        return None


def judged(data: bytes, folder: Path, *, most: int) -> str:
    try:
        pixels = decode(data, Decode()).astype(int)
    except ImageError as error:
        return f"refused: {error.kind}"
    right = truth(data, folder)
    if right is None:
        return "no truth"
    return "right" if right.shape == pixels.shape and np.abs(right - pixels).max() <= most else "WRONG"


def main() -> int:
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for layout, data in files(folder):
            verdict = judged(data, folder, most=3 if "jpeg" in layout else 1)
            counts.setdefault(layout, Counter())[verdict] += 1
    for layout, verdicts in counts.items():
        print(f"{layout:<48} {', '.join(f'{number} {verdict}' for verdict, number in verdicts.items())}")
    total = sum(counts.values(), Counter[str]())
    print(dict(total))
    return int(total["WRONG"] > 0)


if __name__ == "__main__":
    sys.exit(main())
