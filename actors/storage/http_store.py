"""Client for objects at `http(s)://` URLs, requested as written and without the job's credentials. Used by
`actors.storage.store`. All requests of a process run on one event loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from concurrent.futures import wait
from contextlib import asynccontextmanager
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from actors.storage.allowlist import NotAllowedError
from actors.storage.guarded_resolver import GuardedResolver
from actors.storage.http_answer import Span, check_status, describe_failure, length, span_of, version
from actors.storage.http_request import ClientOptions, Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from actors.storage.allowlist import Allowlist
    from actors.storage.retries import Retry

Result = TypeVar("Result")


class HttpStore:
    """A client for web servers, with a pool of connections; safe to use from several threads.

    Args:
        options: see `Storage`. Uses only connection settings, not endpoints or keys.
        retry: policy for every request; its ``timeout_s`` also limits each complete response.
        allow: allowlist, which also applies to redirects; None allows everything.

    Raises:
        JobError: an option is not valid.
    """

    def __init__(self, options: Mapping[str, str], retry: Retry, allow: Allowlist | None = None) -> None:
        self._options = ClientOptions.parse(options)
        self._retry = retry
        self._allow = allow
        self._total_s = min((s for s in (self._options.timeout_s, retry.timeout_s) if s is not None), default=None)
        self._session = _run(self._connect())
        weakref.finalize(self, _close, self._session)

    def describe(self, url: str) -> tuple[int, str | None]:
        """Returns the size in bytes and version of an object. Falls back to GET if HEAD is refused or has no size."""
        return self._retry.call(lambda: _run(self._describe(url)))

    def read(self, url: str, check_size: Callable[[int], None]) -> bytes:
        """Reads a whole object, unless ``check_size`` raises for its size or for the bytes received so far."""
        return self._retry.call(lambda: _run(self._read(url, check_size)))

    def read_range(self, url: str, start: int, size: int) -> bytes:
        """Reads a byte range of an object; returns fewer bytes, or none, if the object ends early."""
        return self._retry.call(lambda: _run(self._read_range(url, start, size))) if size else b""

    async def _connect(self) -> aiohttp.ClientSession:
        options = self._options
        resolver = None if self._allow is None else GuardedResolver(self._allow, options.proxy_hosts())
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=options.tls(), resolver=resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Sizes and ranges of a compressed response would refer to its compressed form.
            headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": options.user_agent},
            timeout=aiohttp.ClientTimeout(self._total_s, sock_connect=options.connect_s, sock_read=options.read_s),
            trust_env=False,  # would send credentials from ~/.netrc; proxies come from `ClientOptions`
        )

    async def _describe(self, url: str) -> tuple[int, str | None]:
        async with self._answer("HEAD", url) as answer:
            size = length(answer)
            if answer.status == HTTPStatus.OK and size is not None:
                return size, version(answer)
        async with self._answer("GET", url, {"Range": "bytes=0-0"}) as answer:
            if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # not even the first byte exists
                return 0, version(answer)
            check_status(answer)
            size = span_of(answer).total if answer.status == HTTPStatus.PARTIAL_CONTENT else length(answer)
            if size is None:  # only the body reveals the size
                size = 0
                async for chunk in answer.content.iter_any():
                    size += len(chunk)
            return size, version(answer)

    async def _read(self, url: str, check_size: Callable[[int], None]) -> bytes:
        async with self._answer("GET", url) as answer:
            check_status(answer)
            check_size(length(answer) or 0)  # the announced size may be missing or wrong, so bytes count, too
            data = bytearray()
            async for chunk in answer.content.iter_any():
                data += chunk
                check_size(len(data))
            return bytes(data)

    async def _read_range(self, url: str, start: int, size: int) -> bytes:
        async with self._answer("GET", url, {"Range": f"bytes={start}-{start + size - 1}"}) as answer:
            if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return b""
            check_status(answer)
            span = span_of(answer) if answer.status == HTTPStatus.PARTIAL_CONTENT else Span(0, None)
            if span.start > start:
                raise ConnectionError(f"the answer starts at byte {span.start}, not at {start}")
            to_skip, data = start - span.start, bytearray()  # if the server ignored the range
            async for chunk in answer.content.iter_any():
                data += chunk[to_skip:]
                to_skip = max(0, to_skip - len(chunk))
                if len(data) >= size:
                    break
            return bytes(data[:size])

    @asynccontextmanager
    async def _answer(
        self, method: str, url: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Returns the response after all redirects. Converts aiohttp errors to Python's own."""
        try:
            async with asyncio.timeout(self._total_s):  # aiohttp's own limit starts again at each redirect
                answer = await self._follow(method, Target.parse(url), headers or {})
                async with answer:
                    yield answer
        except TimeoutError:
            raise TimeoutError("the answer took longer than the timeout") from None
        except aiohttp.ClientConnectorDNSError as error:
            if isinstance(error.os_error, NotAllowedError):
                raise error.os_error from None
            raise ConnectionError(describe_failure(error)) from error
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise OSError(f"no secure connection: {error.os_error}") from None
        except aiohttp.InvalidURL as error:
            raise ValueError("not a valid URL") from error
        except aiohttp.ClientError as error:
            raise ConnectionError(describe_failure(error)) from error

    async def _follow(self, method: str, target: Target, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        is_secure = target.is_secure
        for _ in range(_MAX_REDIRECTS):
            if self._allow is not None:
                self._allow.check(target.url)
            elif is_secure and not target.is_secure:
                raise NotAllowedError("redirected from https to http")
            answer = await self._session.request(
                method,
                URL(target.url, encoded=True),  # otherwise yarl would respell it and break signatures
                headers={**headers, **target.headers},
                allow_redirects=False,  # followed here, so that each is checked
                proxy=self._options.proxy(target),
            )
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            answer.close()
            following = Target.parse(urljoin(target.url, location))
            if not following.headers and following.origin == target.origin:  # no password leaves its host
                following = following._replace(headers=target.headers)
            target = following
        raise OSError(f"more than {_MAX_REDIRECTS} redirects")


_MAX_REDIRECTS = 10  # half of what browsers follow
_THREAD = "http"
_REDIRECTS = {301, 302, 303, 307, 308}


_STARTING = threading.Lock()  # otherwise each thread could start a loop, but a session belongs to one loop


def _loop() -> asyncio.AbstractEventLoop:
    with _STARTING:
        return _started_loop()


@cache
def _started_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=_THREAD, daemon=True).start()
    return loop


def _after_fork() -> None:
    _started_loop.cache_clear()  # its thread did not survive the fork
    _STARTING.release()


os.register_at_fork(before=_STARTING.acquire, after_in_parent=_STARTING.release, after_in_child=_after_fork)


def _run(work: Coroutine[object, object, Result]) -> Result:
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    # No timeout here: `_answer` has one with a clearer error.
    try:
        return future.result()
    except BaseException:
        future.cancel()  # such as a signal while the request is in flight
        raise


def _close(session: aiohttp.ClientSession) -> None:
    closed = asyncio.run_coroutine_threadsafe(session.close(), _loop())
    if threading.current_thread().name != _THREAD:  # if the garbage collector runs there, it would deadlock
        wait([closed], timeout=1)
