"""Client for the objects below one root of an object store, through obstore, with retries. Used by `store`.

Puts are atomic, short bodies are requested again, and interrupted listings resume. Refused credentials are reloaded
from their source.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    InvalidPathError,
)

from actors.errors import CredentialsError, JobError
from actors.storage.credentials import refusal
from actors.storage.retries import Retry, TransientError, transient_kind
from actors.storage.store_clients import connect
from actors.storage.store_listings import Pages, children
from actors.storage.uris import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Result = TypeVar("Result")


class RemoteStore:
    """A client for one root, such as a bucket; keys are relative to it.

    Args:
        root: scheme and bucket.
        options: see `Storage`.
        retry: policy for every request.

    Raises:
        JobError: the scheme of the root, or an option, is unknown.

    Every request raises `CredentialsError` if the credentials are still refused after being reloaded.
    """

    def __init__(self, root: str, options: Mapping[str, str], retry: Retry) -> None:
        self._root = root
        self._options = options
        self._store = connect(root, options)
        self._retry = retry

    def describe(self, key: str) -> tuple[int, str | None]:
        """Returns the size in bytes and version of an object, in one request; the version equals a listing's."""
        meta = self._ask(partial(_head, key=key))
        return int(meta["size"]), _version(meta["e_tag"], meta["last_modified"])

    def modified(self, key: str) -> datetime:
        """Returns the modification time of an object, UTC, in one request."""
        changed: datetime = self._ask(partial(_head, key=key))["last_modified"]
        return changed

    def read(self, key: str, check_size: Callable[[int], None]) -> bytes:
        """Reads a whole object, unless ``check_size`` raises for its size in bytes."""

        def read(store: Any) -> bytes:
            result = _no_web_page(obstore.get(store, key))
            check_size(int(result.meta["size"]))
            return _body(result)

        return self._ask(read)

    def read_range(self, key: str, start: int, size: int) -> bytes:
        """Reads a byte range of an object; returns fewer bytes, or none, if the object ends early."""
        if not size:  # HTTP has no empty ranges
            return b""
        span: Any = {"range": (start, start + size)}
        try:
            return self._ask(lambda store: _body(obstore.get(store, key, options=span)))
        except GenericError as error:  # such as a range beyond the end
            if transient_kind(error) or start < self.describe(key)[0]:
                raise
            return b""

    def pages(self, prefix: str, num_rows: int) -> Iterator[list[tuple[str, int, str | None]]]:
        """Yields key, size in bytes and version of all objects below ``prefix``, at most ``num_rows`` at a time."""
        list_from = partial(obstore.list, prefix=prefix or None, chunk_size=num_rows, return_arrow=True)
        pages = Pages(list_from)
        while (page := self._named(lambda: self._ask(pages.next_page), prefix)) is not None:
            keys, sizes, etags, times = (page[name].to_pylist() for name in _LISTED)
            versions = map(_version, etags, times)
            yield list(zip(keys, sizes, versions, strict=True))

    def children(self, prefix: str) -> list[str]:
        """Returns the prefixes one level below ``prefix``."""
        ask = partial(children, prefix=prefix)
        return self._named(lambda: self._ask(ask), prefix)

    def put(self, key: str, data: bytes | memoryview, *, create: bool) -> None:
        """Puts an object. With ``create``, raises FileExistsError if it exists.

        An earlier attempt of the same call, whose response was lost, may have put it.
        """
        mode: Any = "create" if create else "overwrite"
        view = memoryview(data).cast("B")  # Arrow's buffers are signed bytes, which obstore rejects
        try:
            self._ask(lambda store: obstore.put(store, key, view, mode=mode, **_CHUNKS))
        except AlreadyExistsError as error:
            raise FileExistsError(f"{self._root}/{key}") from error

    def delete(self, key: str) -> None:
        """Deletes an object, if it exists."""
        self._ask(lambda store: obstore.delete(store, key))

    def _ask(self, request: Callable[[Any], Result]) -> Result:
        """Sends a request with retries. Reopens the client if its credentials are refused."""
        for attempt in range(1, _CREDENTIALS_ATTEMPTS + 1):
            store = self._store
            try:
                return self._retry.call(partial(request, store))
            except BaseError as error:
                problem = refusal(error)
                if problem is None:
                    raise
                if attempt == _CREDENTIALS_ATTEMPTS:
                    raise CredentialsError(_REFUSED.format(root=redacted(self._root), problem=problem)) from error
            time.sleep(self._retry.max_wait_after(attempt))
            if self._store is store:  # otherwise, another thread did it
                self._store = connect(self._root, self._options)  # reloads environment, files and instance metadata
        raise AssertionError

    def _named(self, ask: Callable[[], Result], prefix: str) -> Result:
        try:
            return ask()
        except InvalidPathError as error:
            raise JobError(
                f"{self._root}/{prefix}: {str(error).splitlines()[0]}",
                fix="rename that object, or list the other images in a manifest (+dataset=manifest)",
            ) from None


_CREDENTIALS_ATTEMPTS = 3  # a source that is being renewed needs time
_REFUSED = (
    "{root}: the credentials are refused: {problem}; renew them (or set this machine's clock if it is wrong), and run "
    "the same command again, which resumes the run"
)

_LISTED = ("path", "size", "e_tag", "last_modified")

# Larger objects are put in several requests: few at a time, so that each gets bandwidth and meets the timeout.
_CHUNKS: Any = {"chunk_size": 32 << 20, "max_concurrency": 2}  # bytes; and requests of one put

_UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # obstore's default if the server sends no time


def _head(store: Any, key: str) -> Any:
    """Returns the metadata of an object."""
    try:
        # Not obstore.head, whose result lacks the Content-Type.
        result = obstore.get(store, key, options={"head": True})
    except BaseError as error:
        if not _UNEXPLAINED.search(str(error)):
            raise
        return _explained(store, key, error)
    return _no_web_page(result).meta


def _no_web_page(result: obstore.GetResult) -> obstore.GetResult:
    """Returns ``result``; raises if it is a portal's or proxy's page: HTML without the ETag that all stores send."""
    kind = str(result.attributes.get("Content-Type", ""))
    if kind.startswith("text/html") and not result.meta["e_tag"]:
        raise TransientError("a web page came in place of the object", "server_error")
    return result


_UNEXPLAINED = re.compile(r"status code: (400|403)\b")  # S3 answers HEAD with an expired token with 400


def _explained(store: Any, key: str, error: BaseError) -> Any:
    """Requests the metadata with GET after HEAD was refused: only a GET response has a body with the reason."""
    try:
        return obstore.get(store, key, options={"range": (0, 1)}).meta
    except BaseError as explained:
        raise explained if refusal(explained) else error from None


def _body(result: obstore.GetResult) -> bytes:
    """Returns the whole body. obstore does not compare its length with the range named by the server."""
    start, end = result.range
    data = bytes(result.bytes())
    if len(data) < end - start:
        raise ConnectionError(f"the answer ends after {len(data)} of {end - start} bytes")
    return data


def _version(etag: str | None, modified: datetime) -> str | None:
    """Returns the version of an object, without the quotes that some stores send for objects but not in listings."""
    if etag:
        return etag.strip('"')
    return None if modified == _UNKNOWN_TIME else str(modified)
