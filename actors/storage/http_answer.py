"""Interprets responses of web servers: status, size, range and version. Used by `actors.storage.http_store`."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple

import aiohttp

from actors.storage.retries import TransientError


class Span(NamedTuple):
    """First byte of a partial response, and the size of the whole object in bytes, if known."""

    start: int
    total: int | None


def check_status(answer: aiohttp.ClientResponse) -> None:
    """Raises the exception for an unsuccessful status."""
    status = answer.status
    if status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        return
    problem = f"the server answers {status}"
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        raise FileNotFoundError(problem)
    # No CredentialsError: a URL carries its own keys, which do not affect other URLs.
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise PermissionError(problem)
    if kind := _KINDS.get(status, "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else None):
        raise TransientError(problem, kind, _retry_after(answer))
    raise OSError(problem)


def length(answer: aiohttp.ClientResponse) -> int | None:
    """Returns the object's size in bytes; None if the header has none, or only the compressed size."""
    return None if answer.headers.get("Content-Encoding", "identity") != "identity" else answer.content_length


def span_of(answer: aiohttp.ClientResponse) -> Span:
    """Parses ``Content-Range``, such as ``bytes 0-9/100``."""
    bounds, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes").strip().partition("/")
    start = bounds.partition("-")[0]
    if not (start.isascii() and start.isdigit()) or (length(answer) is None and "Content-Encoding" in answer.headers):
        raise ConnectionError("the server answers with an unnamed or compressed range")
    return Span(int(start), int(total) if total.isascii() and total.isdigit() else None)


def version(answer: aiohttp.ClientResponse) -> str | None:
    """Returns the ETag without quotes, or else the modification time; None if neither can be read."""
    # Weak ETags keep their W/: versions are only compared with each other. aiohttp decodes bytes that are not UTF-8 to
    # surrogates, which Arrow columns reject.
    if etag := answer.headers.get("ETag"):
        return etag.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").strip('"')
    try:
        return str(parsedate_to_datetime(answer.headers["Last-Modified"]))
    except (LookupError, ValueError, TypeError):
        return None


def describe_failure(error: aiohttp.ClientError) -> str:
    """Describes a failed request in one line."""
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer ends early"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"no valid answer: {error.message.splitlines()[0] if error.message else error.status}"
    return str(error) or type(error).__name__


_KINDS = {408: "timeout", 425: "throttled", 429: "throttled"}  # 425: too early to answer (RFC 8470)


def _retry_after(answer: aiohttp.ClientResponse) -> float:
    value = answer.headers.get("Retry-After", "")  # or a date, which is useless if clocks differ
    return float(value) if value.isascii() and value.isdigit() else 0.0
