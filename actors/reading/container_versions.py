"""Whether files that hold many images are still the ones that were listed: stale offsets would give other images.
Used by the fetcher.
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
    """The error of an image whose container is not the one that was listed."""
    return ImageError("read", "changed", "its file has changed since the run listed it; a new run takes it as new")


class Containers:
    """Looks at each file once, with one request."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._problems: dict[str, ImageError | None] = {}

    def unknown(self, rows: pa.Table) -> Iterator[tuple[str, str]]:
        """The files of ``rows`` that `look` has not been at, each with its version in the inventory."""
        listed = dict(zip(rows[FILE].to_pylist(), rows[VERSION].to_pylist(), strict=True))
        for uri, version in listed.items():
            if version is not None and uri not in self._problems:
                yield uri, version

    def look(self, listed: tuple[str, str]) -> None:
        """Compares a file with its version in the inventory."""
        uri, version = listed
        self._problems[uri] = self._problem(uri, version)

    def problem(self, uri: str) -> ImageError | None:
        """Why the file is not to be read; None where it is unchanged, or its version unknown."""
        return self._problems.get(uri)

    def _problem(self, uri: str, version: str) -> ImageError | None:
        try:
            _, now = self._storage.describe(uri)
        except Exception as error:  # noqa: BLE001  the per-image guard
            return read_error(error)
        return None if now in {version, None} else changed()
