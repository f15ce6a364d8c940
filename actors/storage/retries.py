"""Retries of requests: transient errors, number of attempts, and backoff. Used throughout `actors.storage`.

This is the only retry layer. obstore's own is off: it does not cover connections that break during deletes, conditional
puts and listings, bodies without an ETag, or local disks, and two layers would multiply the waits.
"""

from __future__ import annotations

import errno
import random
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from obstore.exceptions import GenericError

from actors.errors import JobError
from actors.field_types import coerce_fields

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class TransientError(OSError):
    """A transient error of a server.

    Args:
        message: the server's message.
        kind: see `transient_kind`.
        wait_s: wait in seconds requested by the server.
    """

    def __init__(self, message: str, kind: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.kind = kind
        self.wait_s = wait_s


@dataclass(frozen=True)
class Retry:
    """Retry policy for a request: exponential backoff with full jitter.

    Full jitter draws each wait from zero to its bound, so that workers that failed together do not retry together
    (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    Args:
        attempts: maximum number of attempts, including the first; below 2, there are no retries.
        first_wait_s: upper bound of the wait after the first attempt; doubles with each attempt.
        max_wait_s: upper bound of every wait, including those requested by a server.
        timeout_s: time after which no attempt starts; also the timeout of each web server response. None for no limit.
    """

    attempts: int = 5
    first_wait_s: float = 0.5
    max_wait_s: float = 30.0
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        coerce_fields(self, "retry")
        for name in ("first_wait_s", "max_wait_s"):
            if getattr(self, name) < 0:
                raise JobError(f"retry.{name}={getattr(self, name)}: below 0", fix="set a number of seconds, 0 or more")

    def call(self, function: Callable[[], Result]) -> Result:
        """Calls ``function``, retrying after transient errors, and returns its result.

        Raises the last attempt's error, with the number of attempts as a note.
        """
        attempt, end = 1, float("inf") if self.timeout_s is None else time.monotonic() + self.timeout_s
        while True:
            try:
                return function()
            except Exception as error:
                if transient_kind(error) is None:
                    raise
                if attempt >= self.attempts or time.monotonic() >= end:
                    error.add_note("1 attempt" if attempt == 1 else f"{attempt} attempts")
                    raise
                asked_s = min(error.wait_s, self.max_wait_s) if isinstance(error, TransientError) else 0.0
            wait_s = random.uniform(0, self.max_wait_after(attempt))  # noqa: S311  not for cryptography
            time.sleep(max(asked_s, wait_s))
            attempt += 1

    def max_wait_after(self, attempt: int) -> float:
        """Returns the upper bound in seconds of the wait after an attempt, counted from 1."""
        doublings = min(attempt - 1, _MAX_DOUBLINGS)
        return min(self.max_wait_s, self.first_wait_s * 2.0**doublings)


def transient_kind(error: BaseException) -> str | None:
    """Returns the kind of a transient error; None if a retry cannot fix the error.

    ``throttled``, ``server_error``, ``timeout`` and ``unreachable`` come from servers, ``io_error`` from disks.
    """
    if isinstance(error, TransientError):
        return error.kind
    if isinstance(error, GenericError):
        return _kind_of_answer(str(error))
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionError):
        return "unreachable"
    return "io_error" if isinstance(error, OSError) and error.errno in _PASSING_ERRNOS else None


_MAX_DOUBLINGS = 30  # keeps the power finite

# From network file systems and disks that recover. ETIMEDOUT is already a TimeoutError.
_PASSING_ERRNOS = {errno.EIO, errno.EAGAIN, errno.ESTALE}

# Wording of obstore 0.12, which has one error class for all of these.
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_TRANSPORT = re.compile(r"HTTP error: |Requested \d+\.\.\d+, got \d+\.\.\d+")
_DAMAGED = re.compile(r"Got invalid [\w ]+ response|Header missing from response|Received non-partial response")
_TIMEOUT = re.compile(r"HttpError \{\s*kind: Timeout")

# Also sent with status 200 if one object of many was refused, or 400 if an upload stalled.
_KIND_OF_CODE = {
    "SlowDown": "throttled",
    "ServerBusy": "throttled",
    "InternalError": "server_error",
    "ServiceUnavailable": "server_error",
    "RequestTimeout": "timeout",
}
_KIND_OF_STATUS = {408: "timeout", 429: "throttled"}
_SERVER_ERRORS = range(500, 600)


def _kind_of_answer(text: str) -> str | None:
    code = _CODE.search(text)
    if code and code[1] in _KIND_OF_CODE:
        return _KIND_OF_CODE[code[1]]
    if _DAMAGED.search(text):
        return "server_error"
    status = _STATUS.search(text)
    if status:
        return _KIND_OF_STATUS.get(int(status[1]), "server_error" if int(status[1]) in _SERVER_ERRORS else None)
    if not _TRANSPORT.search(text):
        return None
    return "timeout" if _TIMEOUT.search(text) else "unreachable"
