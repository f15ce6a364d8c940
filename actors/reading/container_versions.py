"""Compares container files with their versions in the inventory: stale offsets would yield other images. Used by the
layouts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.columns import FILE, VERSION
from actors.errors import ImageError
from actors.messages import read_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from actors.storage.store import Storage


def changed() -> ImageError:
    """Returns the error for an image whose file has changed since it was listed."""
    return ImageError("read", "changed", "its file has changed since the run listed it; a new run lists it again")


class Containers:
    """Compares each file once, with one request."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._problems: dict[str, ImageError | None] = {}

    def unseen(self, rows: pa.Table) -> Iterator[tuple[str, str]]:
        """Yields the files of ``rows`` not yet compared, with their versions in the inventory."""
        listed = dict(zip(rows[FILE].to_pylist(), rows[VERSION].to_pylist(), strict=True))
        for uri, version in listed.items():
            if version is not None and uri not in self._problems:
                yield uri, version

    def compare(self, listed: tuple[str, str]) -> None:
        """Compares a file with its version in the inventory."""
        uri, version = listed
        self._problems[uri] = self._problem(uri, version)

    def problem(self, uri: str) -> ImageError | None:
        """Returns the error for all images in the file; None if it is unchanged or its version is unknown."""
        return self._problems.get(uri)

    def _problem(self, uri: str, version: str) -> ImageError | None:
        try:
            _, now = self._storage.describe(uri)
        except Exception as error:  # noqa: BLE001  the per-image guard
            return read_error(error)
        return None if now in {version, None} else changed()  # without a version there is nothing to compare
