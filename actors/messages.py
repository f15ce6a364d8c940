"""What an exception says, in one line that is fit for a row or a terminal. Used on driver and workers."""

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
from actors.storage.retries import passing_kind
from actors.storage.store import TooLargeError
from actors.storage.uris import redacted as redacted  # noqa: PLC0414  told beside what it is used for

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_error(error: Exception) -> ImageError:
    """The error of an image that could not be read, whatever went wrong with it.

    Raises:
        CredentialsError: where ``error`` is one, since no image is to blame for it.
    """
    if isinstance(error, CredentialsError):
        raise error
    kind = passing_kind(error) or next((kind for kind, types in _KINDS if isinstance(error, types)), "io_error")
    return ImageError("read", kind, one_line(error))


def write_problem(error: BaseException, uri: str) -> str | None:
    """Why nothing can be written to ``uri``, and the cure, in one line.

    None for all else that can go wrong, such as a server that fails now and then.
    """
    found = next((refusal for types, refusal in _REFUSALS if isinstance(error, types)), None)
    if found is None and isinstance(error, OSError) and error.errno is not None:
        found = _REFUSAL_OF_ERRNO.get(error.errno)
    if found is None:
        return None
    reason, cure = found
    said = f"{redacted(uri)}: cannot be written: {reason} ({one_line(error)})"
    return f"{said}; {cure}, and give the same command again: it goes on where it stood"


@contextmanager
def writing_to(uri: str) -> Iterator[None]:
    """Raises `OutputError` with what `write_problem` says where nothing can be written to ``uri``."""
    try:
        yield
    except Exception as error:
        if said := write_problem(error, uri):
            raise OutputError(said) from error
        raise


def one_line(error: BaseException) -> str:
    """The first line of what ``error`` says and the notes on it, without the secrets of URLs.

    Object stores answer with pages of debug output; the cause stands in the first line. How long a request took is
    left out, so that equal errors look equal.
    """
    text = str(error).strip() or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    said = _DURATION.sub("", text.splitlines()[0].split(": <?xml")[0]).rstrip(" :")
    return printable(redacted("".join([said, *(f" ({note})" for note in getattr(error, "__notes__", ()))])))


# The first that fits.
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

# Each with its cure.
_REFUSALS: tuple[tuple[tuple[type[Exception], ...], tuple[str, str]], ...] = (
    (
        (PermissionError, obs.PermissionDeniedError, obs.UnauthenticatedError),
        ("that is not allowed", "give this user the right to write there"),
    ),
    (
        (FileNotFoundError, NotADirectoryError, obs.NotFoundError),
        ("there is no such bucket or folder", "make it, or correct output.path"),
    ),
)
_REFUSAL_OF_ERRNO = {
    errno.ENOSPC: ("the disk is full", "make room"),
    errno.EDQUOT: ("the quota of this user is spent", "make room, or have it raised"),
    errno.EROFS: ("the file system is read-only", "make it writable"),
    errno.EFBIG: ("files so large are not allowed there", "lower output.rows_per_part, or have the limit raised"),
}

_DURATION = re.compile(r" in [0-9.]+(ns|µs|ms|s)(?= |$)")
