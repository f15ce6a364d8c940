"""What an exception says, in one line that is fit for a row or a terminal. Used on driver and workers."""

from __future__ import annotations

import re

import obstore.exceptions as obs
import pyarrow as pa

from actors.errors import ImageError, JobError
from actors.storage import TooLargeError


def read_error(error: Exception) -> ImageError:
    """The error of an image that could not be read, whatever went wrong."""
    kind = next((kind for kind, types in _KINDS if isinstance(error, types)), "io_error")
    return ImageError("read", kind, one_line(error))


def one_line(error: BaseException) -> str:
    """The first line of what ``error`` says, without the secrets of URLs.

    Object stores answer with pages of debug output; the cause stands in the first line.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip() or type(error).__name__
    return redacted(text.splitlines()[0].split(": <?xml")[0])


def redacted(text: str) -> str:
    """``text`` with user names, passwords and queries of http URLs left out: a signed URL opens what it names."""
    return _QUERY.sub(r"\1?…", _USER.sub(r"\1…@", text))


# The first that fits.
_KINDS: tuple[tuple[str, tuple[type[Exception], ...]], ...] = (
    ("not_found", (FileNotFoundError, NotADirectoryError, obs.NotFoundError)),
    ("permission_denied", (PermissionError, obs.PermissionDeniedError, obs.UnauthenticatedError)),
    ("too_large", (TooLargeError,)),
    ("unreachable", (obs.GenericError, ConnectionError, TimeoutError)),
    ("invalid_name", (JobError, obs.InvalidPathError, UnicodeError)),
    ("bad_parquet", (pa.ArrowException, LookupError)),
    ("invalid_name", (ValueError,)),
)

_USER = re.compile(r"(https?://)[^\s/?#]+@")
_QUERY = re.compile(r"(https?://[^\s?]+)\?[^\s]+")
