"""Sizes and versions of images named in a table, so that later runs detect changes. Runs on the driver."""

from __future__ import annotations

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from itertools import chain, compress
from typing import TYPE_CHECKING, Self

from actors.errors import CredentialsError
from actors.messages import one_line, redacted
from actors.storage.allowlist import NotAllowedError
from actors.storage.local_files import describe_file
from actors.storage.retries import Retry
from actors.storage.uris import is_remote
from jobs.datasets.listed_files import is_web

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.storage.store import Storage

LOG = logging.getLogger("shardlens")


class Versions(StrEnum):
    """Images of a manifest whose versions are requested."""

    all = "all"
    """Every image; a remote one costs a request; see `version_requests`."""
    local = "local"
    """Images on file systems."""
    none = "none"
    """No image: changes to processed images go unnoticed."""


class ImageVersions:
    """Requests sizes and versions of the ``wanted`` images from ``storage``, with at most ``num_requests`` requests in
    flight. A failing store gets no further requests.
    """

    def __init__(self, storage: Storage, wanted: Versions, *, num_requests: int) -> None:
        # A store that hangs must not hold up the listing: its images are then listed without versions.
        self._storage = storage.with_retry(Retry(attempts=2))
        self._storage.options = {**_TIMEOUTS, **self._storage.options}
        self._wanted = wanted
        self._pool = ThreadPoolExecutor(num_requests)  # its threads only wait for responses
        # Not locked: a lost increment costs one more request.
        self._failures = Counter[str]()  # consecutive failed requests of each store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # If the limit of the dataset ends the listing, up to a whole slice of requests is still queued.
        self._pool.shutdown(cancel_futures=True)

    def describe(self, uris: Sequence[str]) -> tuple[Sequence[int | None], Sequence[str | None]]:
        """Returns sizes in bytes and versions of images, as a listing of their folders would. None if unknown, for
        example if the image is missing. Web servers supply only the version: their size may be that of a compressed
        body.
        """
        wanted = list(map(self._is_requested, uris))
        requested = list(compress(uris, wanted))
        step = 1 if any(map(is_remote, requested)) else _LOCAL_STEP
        pieces = [requested[start : start + step] for start in range(0, len(requested), step)]
        described = chain.from_iterable(self._pool.map(lambda piece: list(map(self._describe, piece)), pieces))
        sizes, versions = zip(*(next(described) if is_requested else _UNKNOWN for is_requested in wanted), strict=True)
        return sizes, versions

    def _is_requested(self, uri: str) -> bool:
        """Returns True if the version of ``uri`` is requested; a signed URL permits reading only."""
        if not is_remote(uri):
            return True
        is_signed = is_web(uri) and "?" in uri
        return self._wanted is Versions.all and not is_signed and self._failures[_store(uri)] < _MAX_FAILURES

    def _describe(self, uri: str) -> tuple[int | None, str | None]:
        if not is_remote(uri):
            return self._describe_local(uri)
        store = _store(uri)
        if self._failures[store] >= _MAX_FAILURES:  # `describe` selected it
            return _UNKNOWN
        try:
            size, version = self._storage.describe(uri)
        except (FileNotFoundError, NotAllowedError):  # reading reports the error
            return _UNKNOWN
        except CredentialsError:
            raise
        except Exception as error:  # noqa: BLE001  the image can be listed without its version
            self._failures[store] += 1
            if self._failures[store] == _MAX_FAILURES:
                LOG.warning(_NOT_SEEN, redacted(store), one_line(error))
            return _UNKNOWN
        self._failures[store] = 0
        return None if is_web(uri) else size, version

    def _describe_local(self, uri: str) -> tuple[int | None, str | None]:
        try:
            return describe_file(self._storage.local_path(uri))
        except (OSError, ValueError):  # missing, forbidden, or not a path; reading reports the error
            return _UNKNOWN


_LOCAL_STEP = 256  # files per thread call: stat takes less time than the call, except on network file systems
_MAX_FAILURES = 8  # consecutive; a hung store then delays the listing by seconds, not hours
_NOT_SEEN = (
    "%s: changes of its images go unnoticed: %s\n"
    "  fix: get access to it, or skip these requests with dataset.versions=local"
)
_TIMEOUTS = {"timeout": "10s", "read_timeout": "5s"}  # no response body; a hung server must not stop the listing
_UNKNOWN = (None, None)


def _store(uri: str) -> str:
    """Returns the scheme and bucket or host of any string, even one that is not a URI."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"
