"""Writes seeded JPEGs with the size, smoothness and entropy of photographs, in ten classes that a model can distinguish
by colour and texture: ``python -m actors.sample.photos FOLDER``. For benchmarks and tests.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from actors.errors import JobError
from actors.sample.photo import CONTRAST, HEIGHT, NUM_CLASSES, QUALITY, WIDTH, jpeg, photo
from actors.sample.photo_files import Form, PhotoFiles, make

__all__ = ["CONTRAST", "HEIGHT", "NUM_CLASSES", "QUALITY", "WIDTH", "jpeg", "main", "photo"]


def main() -> None:
    """Writes images to a folder; exits with status 2 if that is impossible."""
    options = vars(_parse_arguments([form.value for form in Form]))
    folder, processes = options.pop("folder"), options.pop("processes")
    photos = PhotoFiles(**options | {"form": Form(options["form"])})
    started, made = time.monotonic(), (0, 0)
    try:
        for made in make(photos, folder, processes=processes):
            _tell(made[0], photos.images, time.monotonic() - started)
    except JobError as error:
        _end(f"error: {error}", status=2)
    except KeyboardInterrupt:
        _end("\nstopped; the same command resumes", status=130)
    num_images, num_bytes = made
    print(f"{folder}: {num_images:,} images, {num_bytes / num_images / 1000:.1f} kB each on average")  # noqa: T201


def _parse_arguments(forms: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m actors.sample.photos",
        description="Writes JPEGs like photographs, in ten classes. The same command resumes after a stop.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where to write them; created if needed")
    parser.add_argument("--images", type=int, default=2000, help="number of images")
    parser.add_argument("--seed", type=int, default=0, help="other seeds make other images")
    parser.add_argument("--width", type=int, default=WIDTH, help="in pixels")
    parser.add_argument("--height", type=int, default=HEIGHT, help="in pixels")
    parser.add_argument("--quality", type=int, default=QUALITY, help="JPEG quality, from 1 to 100")
    parser.add_argument("--contrast", type=float, default=CONTRAST, help="grey levels; photographs have 50 to 60")
    parser.add_argument("--as", dest="form", choices=forms, default=forms[0], help="one file each, or many in one")
    parser.add_argument("--per-file", type=int, default=1000, help="images per Parquet file or tar")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="processes at work in parallel")
    return parser.parse_args()


def _tell(num_images: int, num_all: int, seconds: float) -> None:
    """Updates the progress line on a terminal."""
    if sys.stderr.isatty():
        end = "\n" if num_images == num_all else ""
        print(f"\r{num_images:,} of {num_all:,} images, {seconds:.0f} s", end=end, file=sys.stderr, flush=True)  # noqa: T201


def _end(message: str, *, status: int) -> NoReturn:
    print(message, file=sys.stderr)  # noqa: T201
    sys.exit(status)


if __name__ == "__main__":
    main()
