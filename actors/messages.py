"""One-line exception messages for a row or a terminal. Used on driver and workers."""

from __future__ import annotations

import errno
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore.exceptions as obs
import pyarrow as pa

from actors.errors import CredentialsError, ImageError, JobError, OutputError
from actors.escapes import printable
from actors.storage.allowlist import NotAllowedError
from actors.storage.retries import transient_kind
from actors.storage.store import TooLargeError
from actors.storage.uris import redacted as redacted  # noqa: PLC0414  exported with the functions that need it

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_error(error: Exception) -> ImageError:
    """Converts an exception of a read into the error of the image.

    Raises:
        CredentialsError: ``error`` is one; the image is not at fault.
    """
    if isinstance(error, CredentialsError):
        raise error
    kind = transient_kind(error) or next((kind for kind, types in _KINDS if isinstance(error, types)), "io_error")
    return ImageError("read", kind, one_line(error))


def write_problem(error: BaseException, uri: str) -> str | None:
    """Returns the reason why nothing can be written to ``uri``, and the fix, in one line.

    Returns None for all other errors, such as transient server errors.
    """
    found = next((refusal for types, refusal in _REFUSALS if isinstance(error, types)), None)
    if found is None and isinstance(error, OSError) and error.errno is not None:
        found = _REFUSAL_OF_ERRNO.get(error.errno)
    if found is None:
        return None
    reason, fix = found
    problem = f"{redacted(uri)}: cannot be written: {reason} ({one_line(error)})"
    return f"{problem}; {fix}, and run the same command again, which resumes the run"


@contextmanager
def writing_to(uri: str) -> Iterator[None]:
    """Raises `OutputError` for errors in the block that are a `write_problem` of ``uri``."""
    try:
        yield
    except Exception as error:
        if problem := write_problem(error, uri):
            raise OutputError(problem) from error
        raise


def one_line(error: BaseException) -> str:
    """Returns the first line of the message of ``error``, and its notes, without secrets in URLs.

    Object stores append pages of debug output to a first line with the cause. Durations are removed, so that equal
    errors have equal messages.
    """
    text = str(error).strip() or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    # A document from the server may follow on the same line.
    cause = _DURATION.sub("", text.splitlines()[0].split(": <?xml")[0]).rstrip(" :")
    return printable(redacted("".join([cause, *(f" ({note})" for note in getattr(error, "__notes__", ()))])))


# The first match counts: many of these are also an OSError or a ValueError.
_KINDS: tuple[tuple[str, tuple[type[Exception], ...]], ...] = (
    ("not_allowed", (NotAllowedError,)),
    ("not_found", (FileNotFoundError, NotADirectoryError, obs.NotFoundError)),
    ("permission_denied", (PermissionError, obs.PermissionDeniedError, obs.UnauthenticatedError)),
    ("too_large", (TooLargeError,)),
    ("unreachable", (obs.GenericError,)),
    ("invalid_name", (JobError, obs.InvalidPathError, UnicodeError)),
    ("bad_parquet", (pa.ArrowException, LookupError)),
    ("invalid_name", (ValueError,)),
)

# Reason and fix.
_REFUSALS: tuple[tuple[tuple[type[Exception], ...], tuple[str, str]], ...] = (
    (
        (PermissionError, obs.PermissionDeniedError, obs.UnauthenticatedError),
        ("permission denied", "give this user permission to write there"),
    ),
    (
        (FileNotFoundError, NotADirectoryError, obs.NotFoundError),
        ("no such bucket or folder", "create it, or correct output.path"),
    ),
)
_REFUSAL_OF_ERRNO = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the quota of this user is used up", "free some space, or have the quota raised"),
    errno.EROFS: ("the file system is read-only", "make it writable"),
    errno.EFBIG: ("the file is larger than the limit there", "lower output.rows_per_part, or have the limit raised"),
}

_DURATION = re.compile(r" in [0-9.]+(ns|µs|ms|s)(?= |$)")
