"""The encoded bytes of one image, or its error, as yielded by every layout. Used in the read tasks of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import ImageError
from actors.messages import read_error
from actors.storage.store import TooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.storage.store import Storage

Image = bytes | ImageError


def read_image(uri: str, *, storage: Storage, max_bytes: int | None = None, size: int | None = None) -> Image:
    """Reads one image. If that fails, returns an error of stage ``read``; never raises it.

    Args:
        uri: local path, or any URI that ``storage`` can read.
        storage: storage to read from.
        max_bytes: size limit in bytes; None for none.
        size: size in bytes, if known. An image above the limit is then not requested.
    """
    if not uri:
        return ImageError("read", "missing_uri", "the row has no URI")
    if size is not None and is_too_large(size, max_bytes):
        return too_large(size, max_bytes)
    try:
        return storage.read(uri, max_bytes=max_bytes) or _empty()
    except Exception as error:  # noqa: BLE001  the per-image guard
        return read_error(error)


def checked(data: bytes, max_bytes: int | None) -> Image:
    """Returns ``data``, or an error if the image is empty or above the limit."""
    if is_too_large(len(data), max_bytes):
        return too_large(len(data), max_bytes)
    return data or _empty()


def is_too_large(size: int, max_bytes: int | None) -> bool:
    return max_bytes is not None and size > max_bytes


def too_large(size: int, max_bytes: int | None) -> ImageError:
    return read_error(TooLargeError(f"{size} bytes, more than the limit of {max_bytes}"))


def padded(images: Iterator[Image], count: int) -> Iterator[Image]:
    """Yields ``images``, padded to ``count`` with errors if the iterator raises or ends early."""
    given = 0
    try:
        for image in images:
            given += 1
            yield image
        if given < count:  # such as a Parquet file replaced by a shorter one
            raise EOFError("the file ends early")  # noqa: TRY301
    except Exception as error:  # noqa: BLE001  the per-image guard
        yield from [read_error(error)] * (count - given)


def _empty() -> ImageError:
    return ImageError("read", "empty", "there are no bytes")
