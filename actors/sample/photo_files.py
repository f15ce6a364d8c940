"""The photographs of `actors.sample.photos` as files: a folder of JPEGs, Parquet files with an image column, or tars.
Written by several processes, each file atomically.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import tarfile
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from actors.errors import JobError
from actors.messages import one_line
from actors.sample.photo import CONTRAST, HEIGHT, NUM_CLASSES, QUALITY, WIDTH, jpeg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Form(StrEnum):
    """Layout of the files."""

    folder = "folder"
    """``<class>/<number>.jpg``, for ``+dataset=images``."""
    parquet = "parquet"
    """``image``, a struct of bytes and path, and ``label``, for ``+dataset=parquet``."""
    tar = "tar"
    """``<number>.jpg`` and its class in ``<number>.cls``, for ``+dataset=webdataset``."""


@dataclass(frozen=True)
class PhotoFiles:
    """A set of images and its layout. Classes are ``class0`` to ``class9`` in every form."""

    images: int
    form: Form = Form.folder
    per_file: int = 1000
    """Images per Parquet file or tar."""
    seed: int = 0
    width: int = WIDTH
    height: int = HEIGHT
    quality: int = QUALITY
    contrast: float = CONTRAST

    def check(self) -> None:
        """Raises `JobError` for a number out of range."""
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise JobError(
                    f"--{name.replace('_', '-')} {value}: not from {least:,} to {most:,}", fix="give a number of these"
                )
        if self.width * self.height > _MAX_PIXELS:
            raise JobError(
                f"--width {self.width} --height {self.height}: more than {_MAX_PIXELS:,} pixels",
                fix="make them smaller: each process takes some 150 bytes a pixel",
            )

    def jpeg(self, number: int) -> bytes:
        size = {"width": self.width, "height": self.height}
        return jpeg(number, quality=self.quality, contrast=self.contrast, seed=self.seed, **size)

    def runs(self) -> Iterator[range]:
        """Yields runs of image numbers that one process handles at a time: one file's, if it contains many."""
        step = _RUN if self.form is Form.folder else self.per_file
        return (range(start, min(start + step, self.images)) for start in range(0, self.images, step))


def make(photos: PhotoFiles, folder: Path, *, processes: int) -> Iterator[tuple[int, int]]:
    """Writes the missing files in ``folder``. Periodically yields progress: images so far, and bytes of their files. No
    process keeps more than a few images in memory.

    Raises:
        JobError: a number is wrong, ``folder`` contains something else, or cannot be written.
    """
    photos.check()
    if processes < 1:
        raise JobError(f"--processes {processes}: must be at least 1", fix="omit it to use one per CPU")
    num_images = num_bytes = 0
    with _telling(folder):
        _claim(folder, photos)
        for run_images, run_bytes in _side_by_side(partial(_make_run, photos, folder), photos.runs(), processes):
            num_images, num_bytes = num_images + run_images, num_bytes + run_bytes
            yield num_images, num_bytes


_MAX_SIDE = 16384  # pixels; JPEG's own limit is 65,535
_MAX_PIXELS = 25_000_000  # about 4 GB in each process
_BOUNDS = {
    "images": (1, 1_000_000_000),
    "per_file": (1, 1_000_000),
    "seed": (0, (1 << 63) - 1),
    "width": (8, _MAX_SIDE),
    "height": (8, _MAX_SIDE),
    "quality": (1, 100),
    "contrast": (0, 255),
}
_RUN = 32  # photographs; takes a few seconds
_NOTE = "photos.json"


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise JobError(
            f"{folder}: a process that makes images was killed, probably for lack of memory",
            fix="lower --processes; the same command resumes",
        ) from error
    except OSError as error:
        raise JobError(
            f"{folder}: cannot be written: {one_line(error)}",
            fix="make room, or give a folder that this user may write to; the same command resumes",
        ) from error


def _claim(folder: Path, photos: PhotoFiles) -> None:
    """Records the set in ``folder``, and rejects a folder with another set: existing files are skipped."""
    folder.mkdir(parents=True, exist_ok=True)
    note, wanted = folder / _NOTE, json.dumps(asdict(photos), indent=1)
    if note.exists():
        if note.read_text() != wanted:
            raise JobError(f"{folder}: holds other photographs, see {note}", fix="give another folder, or remove this")
    elif any(path.name != _unfinished(note).name for path in folder.iterdir()):
        raise JobError(f"{folder}: is not empty", fix="give a folder of its own")
    else:
        _write_whole(note, lambda path: path.write_text(wanted))


def _side_by_side(
    function: Callable[[range], tuple[int, int]], runs: Iterator[range], processes: int
) -> Iterator[tuple[int, int]]:
    """Maps ``function`` over ``runs`` in processes, in order, submitting only a few ahead."""
    context = multiprocessing.get_context("spawn")  # forking a process with Arrow threads may hang
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent) as pool:
        waiting = deque(pool.submit(function, run) for run in islice(runs, 4 * processes))
        while waiting:
            yield waiting.popleft().result()
            waiting += [pool.submit(function, run) for run in islice(runs, 1)]


def _end_with_parent() -> None:
    """Ends this process silently on Ctrl-C, and when its parent is gone: nothing else would end it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)  # sys.exit would end only this thread


def _make_run(photos: PhotoFiles, folder: Path, numbers: range) -> tuple[int, int]:
    """Returns the number of images in the run, and the bytes of their files."""
    if photos.form is Form.folder:
        paths = [_make_image(photos, folder, number) for number in numbers]
    else:
        paths = [folder / f"photos-{numbers.start // photos.per_file:06d}.{photos.form.value}"]
        if not paths[0].exists():
            write = _write_parquet if photos.form is Form.parquet else _write_tar
            _write_whole(paths[0], partial(write, photos, numbers))
    return len(numbers), sum(path.stat().st_size for path in paths)


def _make_image(photos: PhotoFiles, folder: Path, number: int) -> Path:
    path = folder / _label(number) / f"{number:06d}.jpg"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        _write_whole(path, lambda unfinished: unfinished.write_bytes(photos.jpeg(number)))
    return path


def _write_parquet(photos: PhotoFiles, numbers: range, path: Path) -> None:
    with pq.ParquetWriter(path, _SCHEMA, compression="none", use_dictionary=["label"]) as writer:
        for start in range(numbers.start, numbers.stop, _ROW_GROUP_ROWS):
            group = range(start, min(start + _ROW_GROUP_ROWS, numbers.stop))
            images = [{"bytes": photos.jpeg(number), "path": f"{number:06d}.jpg"} for number in group]
            labels = [_label(number) for number in group]
            writer.write_table(pa.table({"image": images, "label": labels}, schema=_SCHEMA))


_ROW_GROUP_ROWS = 128  # photographs in memory at a time: about 6 MB
_SCHEMA = pa.schema(
    {"image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]), "label": pa.string()}  # as in Hugging Face
)


def _write_tar(photos: PhotoFiles, numbers: range, path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in numbers:
            for ending, data in (("jpg", photos.jpeg(number)), ("cls", _label(number).encode())):
                member = tarfile.TarInfo(f"{number:06d}.{ending}")  # without a time, so that equal sets are equal files
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _label(number: int) -> str:
    return f"class{number % NUM_CLASSES}"


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file atomically: no dataset treats a staged file as an image, and the next run overwrites it."""
    unfinished = _unfinished(path)
    write(unfinished)
    unfinished.replace(path)


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.unfinished")
