"""The objects below one root of an object store, through obstore, each request with retries. Used by `store`.

A put is whole or absent, a body that came short is asked for again, and a listing goes on where it broke off. Where
the credentials are refused, they are read anew.
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
from actors.storage.retries import PassingError, Retry, passing_kind
from actors.storage.store_clients import connect
from actors.storage.store_listings import Pages, children
from actors.storage.uris import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Result = TypeVar("Result")


class RemoteStore:
    """A client for one root, such as a bucket; keys are those below it.

    Args:
        root: scheme and bucket.
        options: as `Storage` takes them.
        retry: for every request.

    Raises:
        JobError: the root is of no known kind, or an option is.

    Every request raises `CredentialsError` where the credentials are refused and renewing them did not help.
    """

    def __init__(self, root: str, options: Mapping[str, str], retry: Retry) -> None:
        self._root = root
        self._options = options
        self._store = connect(root, options)
        self._retry = retry

    def describe(self, key: str) -> tuple[int, str | None]:
        """Size in bytes and version of one object, with one request; the version as a listing gives it."""
        meta = self._ask(partial(_head, key=key))
        return int(meta["size"]), _version(meta["e_tag"], meta["last_modified"])

    def read(self, key: str, check_size: Callable[[int], None]) -> bytes:
        """One whole object, unless ``check_size`` raises for its size in bytes."""

        def read(store: Any) -> bytes:
            result = _no_web_page(obstore.get(store, key))
            check_size(int(result.meta["size"]))
            return _body(result)

        return self._ask(read)

    def read_range(self, key: str, start: int, size: int) -> bytes:
        """A byte range of one object; fewer bytes, or none, where the object ends early."""
        if not size:
            return b""
        span: Any = {"range": (start, start + size)}
        try:
            return self._ask(lambda store: _body(obstore.get(store, key, options=span)))
        except GenericError as error:  # such as a range that lies behind the end
            if passing_kind(error) or start < self.describe(key)[0]:
                raise
            return b""

    def pages(self, prefix: str, num_rows: int) -> Iterator[list[tuple[str, int, str | None]]]:
        """Key, size in bytes and version of every object below ``prefix``, at most ``num_rows`` at a time."""
        list_from = partial(obstore.list, prefix=prefix or None, chunk_size=num_rows, return_arrow=True)
        pages = Pages(list_from)
        while (page := self._named(lambda: self._ask(pages.turn), prefix)) is not None:
            keys, sizes, etags, times = (page[name].to_pylist() for name in _LISTED)
            versions = map(_version, etags, times)
            yield list(zip(keys, sizes, versions, strict=True))

    def children(self, prefix: str) -> list[str]:
        """The prefixes one level below ``prefix``, without what lies in them."""
        ask = partial(children, prefix=prefix)
        return self._named(lambda: self._ask(ask), prefix)

    def put(self, key: str, data: bytes | memoryview, *, create: bool) -> None:
        """Puts one object. With ``create``, raises FileExistsError where one stands.

        That one can be of an earlier attempt of this very call, whose answer was lost.
        """
        mode: Any = "create" if create else "overwrite"
        view = memoryview(data).cast("B")  # Arrow's buffers are signed bytes, which obstore does not take
        try:
            self._ask(lambda store: obstore.put(store, key, view, mode=mode, **_CHUNKS))
        except AlreadyExistsError as error:
            raise FileExistsError(f"{self._root}/{key}") from error

    def delete(self, key: str) -> None:
        """Removes one object; one that is gone already is no error."""
        self._ask(lambda store: obstore.delete(store, key))

    def _ask(self, request: Callable[[Any], Result]) -> Result:
        """What ``request`` gives of the client, which is opened anew where its credentials are refused."""
        for attempt in range(1, _CREDENTIALS_ATTEMPTS + 1):
            store = self._store
            try:
                return self._retry.call(partial(request, store))
            except BaseError as error:
                said = refusal(error)
                if said is None:
                    raise
                if attempt == _CREDENTIALS_ATTEMPTS:
                    raise CredentialsError(_REFUSED.format(root=redacted(self._root), said=said)) from error
            time.sleep(self._retry.max_wait_after(attempt))
            if self._store is store:  # else another thread has been here
                self._store = connect(self._root, self._options)  # reads environment, files and instance anew
        raise AssertionError

    def _named(self, ask: Callable[[], Result], prefix: str) -> Result:
        try:
            return ask()
        except InvalidPathError as error:
            raise JobError(
                f"{self._root}/{prefix}: {str(error).splitlines()[0]}",
                cure="rename that object, or list the other images in a manifest (+dataset=manifest)",
            ) from None


_CREDENTIALS_ATTEMPTS = 3
_REFUSED = (
    "{root}: the credentials are refused: {said}; renew them (or set this machine's clock, where the time is at "
    "fault), and give the same command again: it goes on where it stood"
)

_LISTED = ("path", "size", "e_tag", "last_modified")

# What is larger is put in several requests, few enough to come through together, and small enough for the time limit.
_CHUNKS: Any = {"chunk_size": 32 << 20, "max_concurrency": 2}

_UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # obstore's, where a server does not tell


def _head(store: Any, key: str) -> Any:
    """The metadata of an object."""
    try:
        result = obstore.get(store, key, options={"head": True})
    except BaseError as error:
        if not _UNEXPLAINED.search(str(error)):
            raise
        return _explained(store, key, error)
    return _no_web_page(result).meta


def _no_web_page(result: obstore.GetResult) -> obstore.GetResult:
    """``result``, unless it is the page of a portal or a proxy: HTML without the ETag that every store sends."""
    kind = str(result.attributes.get("Content-Type", ""))
    if kind.startswith("text/html") and not result.meta["e_tag"]:
        raise PassingError("a web page came in place of the object", "server_error")
    return result


_UNEXPLAINED = re.compile(r"status code: (400|403)\b")


def _explained(store: Any, key: str, error: BaseError) -> Any:
    """The metadata by GET, where HEAD was refused: only an answer to GET has a body that tells why."""
    try:
        return obstore.get(store, key, options={"range": (0, 1)}).meta
    except BaseError as told:
        raise told if refusal(told) else error from None


def _body(result: obstore.GetResult) -> bytes:
    """The body, whole: obstore does not compare its length with the range that the server has named."""
    start, end = result.range
    data = bytes(result.bytes())
    if len(data) < end - start:
        raise ConnectionError(f"the answer ends after {len(data)} of {end - start} bytes")
    return data


def _version(etag: str | None, modified: datetime) -> str | None:
    """Without the quotes, which some stores give with one object and not in listings."""
    if etag:
        return etag.strip('"')
    return None if modified == _UNKNOWN_TIME else str(modified)
