"""Seeded JPEGs with the size, the smoothness and the entropy of photographs, in ten classes that a model can tell
apart by their colours and textures: ``python -m actors.sample.photos FOLDER``. For benchmarks and tests.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from actors.sample.photo import CONTRAST, HEIGHT, QUALITY, WIDTH


def main() -> None:
    """Writes images to a folder; ends with status 2 where that cannot be done."""
    from actors.errors import JobError  # noqa: PLC0415  whoever wants single images need not wait for these
    from actors.sample.photo_files import Form, PhotoFiles, make  # noqa: PLC0415

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
        _end("\nstopped; the same command goes on", status=130)
    num_images, num_bytes = made
    print(f"{folder}: {num_images:,} images, {num_bytes / num_images / 1000:.1f} kB each on average")  # noqa: T201


def _parse_arguments(forms: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m actors.sample.photos",
        description="Writes JPEGs like photographs, in ten classes. The same command goes on where it was stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where they go; it is made where it is not there")
    parser.add_argument("--images", type=int, default=2000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="another one makes other images")
    parser.add_argument("--width", type=int, default=WIDTH, help="pixels")
    parser.add_argument("--height", type=int, default=HEIGHT, help="pixels")
    parser.add_argument("--quality", type=int, default=QUALITY, help="of the JPEGs, from 1 to 100")
    parser.add_argument("--contrast", type=float, default=CONTRAST, help="grey levels; photographs have 50 to 60")
    parser.add_argument("--as", dest="form", choices=forms, default=forms[0], help="one file each, or many in one")
    parser.add_argument("--per-file", type=int, default=1000, help="images of one Parquet file or tar")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that make them side by side")
    return parser.parse_args()


def _tell(num_images: int, num_all: int, seconds: float) -> None:
    """The line of progress, where somebody looks on."""
    if sys.stderr.isatty():
        end = "\n" if num_images == num_all else ""
        print(f"\r{num_images:,} of {num_all:,} images, {seconds:.0f} s", end=end, file=sys.stderr, flush=True)  # noqa: T201


def _end(said: str, *, status: int) -> NoReturn:
    print(said, file=sys.stderr)  # noqa: T201
    sys.exit(status)


if __name__ == "__main__":
    main()
