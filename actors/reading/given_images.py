"""Images passed by Python callers: batches from any iterable, and their bytes. Runs in the caller's process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from actors.errors import ImageError
from actors.reading.image_bytes import read_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.storage.store import Storage

Image = str | os.PathLike[str] | bytes | np.ndarray


class Drawn(NamedTuple):
    """Images of one batch."""

    paths: list[str | None]
    """The paths and URIs among them."""
    images: list[bytes | np.ndarray | ImageError]
    """Bytes, arrays, or the errors from reading them."""


def number_of(images: Iterable[Image]) -> int | None:
    """Returns the number of ``images``; None if unknown."""
    return len(images) if isinstance(images, Sized) else None


def batches_of(images: Iterable[Image], size: int) -> Iterator[list[Any]]:
    """Yields lists of ``size`` items; the last may be shorter. Draws items only when needed.

    Items of a PyTorch map-style dataset, which has indices and a length but may not end, are tuples that start with the
    image, such as ``(image, target)``.
    """
    if isinstance(images, str | bytes | os.PathLike):
        raise TypeError(f"images: one image and not several: give [{images!r:.50}]")
    items = iter(_items(images))
    while batch := list(islice(items, size)):
        yield [item[0] if isinstance(item, tuple) else item for item in batch]


def read_all(images: Sequence[Image], storage: Storage, *, max_bytes: int | None) -> Drawn:
    """Reads the ``images`` that are paths or URIs, and converts Pillow images to RGB pixels."""
    paths = [os.fspath(image) if isinstance(image, str | os.PathLike) else None for image in images]
    loaded = [
        _pixels(image) if path is None else read_image(path, storage=storage, max_bytes=max_bytes)
        for image, path in zip(images, paths, strict=True)
    ]
    return Drawn(paths, loaded)


def _items(images: Any) -> Iterable[Any]:
    return images if isinstance(images, Iterable) else (images[number] for number in range(len(images)))


def _pixels(image: Any) -> bytes | np.ndarray | ImageError:
    if isinstance(image, bytes | np.ndarray):
        return image
    if not hasattr(image, "convert"):  # Pillow's have it; this avoids importing Pillow
        raise TypeError(f"not an image: {image!r}: give a path, bytes, a uint8 array (height, width, 3) or a picture")
    if image.mode.startswith(("I", "F")):
        return ImageError("decode", "unsupported", f"a picture of mode {image.mode}: give the bytes of its file")
    return np.asarray(image.convert("RGB"))
