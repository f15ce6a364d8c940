"""Images with known labels: one process's share, in batches that threads read and decode ahead. Runs in the training
process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from actors.columns import IMAGE_ID, TARGET, URI
from actors.errors import JobError
from actors.reading.image_bytes import read_image

if TYPE_CHECKING:
    from actors.errors import ImageError
    from actors.storage.store import Storage

Image = str | Path | bytes | np.ndarray
Example = tuple[Image, Any]
Given = TypeVar("Given")
Made = TypeVar("Made")
Examples = Iterable[Example] | Callable[[], Iterable[Example]]


class Batch(NamedTuple):
    """The columns `IMAGE_ID`, `URI` and `TARGET` of a batch, and its images or read errors."""

    rows: pa.Table
    images: list[bytes | np.ndarray | ImageError]


def labelled_folder(path: str | Path) -> list[Example]:
    """Returns the files in the subfolders of a local folder, sorted by name, each labelled with its subfolder's name.

    Raises:
        JobError: there are none.
    """
    found = [(file, file.parent.name) for file in sorted(Path(path).glob("*/*")) if _is_shown(file)]
    if not found:
        raise JobError(f"{path}: holds no folders with files", fix="give a folder with one subfolder per class")
    return list(found)


def check_examples(data: Examples) -> None:
    """Raises `JobError` for an iterator, which can be read only once."""
    if isinstance(data, Iterator):
        raise JobError(
            f"data: is a {type(data).__name__}, which has no images left after one evaluation",
            fix="give a list, a data set, or the function that makes the iterator",
        )


def share(data: Examples, rank: int, total: int) -> Iterator[tuple[int, Example]]:
    """Yields every ``total``-th example from number ``rank`` on, with its number: each exactly once over all ranks.

    Reads only these from a sequence; skips the others in any other iterable.
    """
    given: Any = data() if callable(data) and not isinstance(data, Iterable) else data
    if hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        for number in range(rank, len(given), total):
            yield number, given[number]
        return
    yield from islice(enumerate(given), rank, None, total)


def read_batch(numbered: Sequence[tuple[int, Example]], storage: Storage, max_bytes: int) -> Batch:
    """Reads the images given as paths or URIs."""
    images = [image for _, (image, _) in numbered]
    paths = [str(image) if isinstance(image, str | Path) else None for image in images]
    columns = {
        IMAGE_ID: pa.array([path or str(number) for path, (number, _) in zip(paths, numbered, strict=True)]),
        URI: pa.array(paths, pa.string()),
        TARGET: pa.array([_text(target) for _, (_, target) in numbered], pa.string()),
    }
    read = [
        read_image(str(image), storage=storage, max_bytes=max_bytes) if isinstance(image, str | Path) else image
        for image in images
    ]
    return Batch(pa.table(columns), read)


def ahead(function: Callable[[Given], Made], items: Iterator[Given], threads: int) -> Generator[Made]:
    """Maps ``function`` over ``items`` in threads, in order, with a few results ahead of the caller."""
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(function, item) for item in islice(items, threads + 1))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(items, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


def _is_shown(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".")


def _text(target: Any) -> str | None:
    """Returns a class, its number, or a value as text, as in a job's dataset; accepts one-element tensors, too."""
    value = target.item() if hasattr(target, "item") else target
    return None if value is None else str(value)
