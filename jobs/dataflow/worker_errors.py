"""Unwraps the errors that workers raised from Ray's exceptions. Used by the driver around all worker calls."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ray.exceptions import RayError, RayTaskError

from actors.errors import CredentialsError, DecoderMismatchError, JobError, OutputError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator


class WorkerError(Exception):
    """A worker failed permanently. The message is that of the worker's own exception."""


@contextmanager
def workers_errors() -> Iterator[None]:
    """Raises the exception of a worker instead of the enclosing `RayTaskError`.

    Raises:
        JobError, CredentialsError, DecoderMismatchError, OutputError, UnreachableError: raised by the worker.
        WorkerError: any other exception of a worker, or the death of an actor or node.
    """
    try:
        yield
    except RayTaskError as error:
        raise _own_error(error.cause) from error
    # Raised by Ray if there is no worker exception: the process or node died.
    except RayError as error:
        raise WorkerError(str(error).strip()) from error


def _own_error(cause: Exception) -> Exception:
    if isinstance(cause, JobError):
        return cause  # keeps problem and fix in fields, which Ray Data does not modify
    message = str(cause).partition(_RETRY_CONTEXT)[0].removesuffix("\\n").rstrip()  # some errors escape newlines
    if isinstance(cause, CredentialsError | DecoderMismatchError | OutputError | UnreachableError):
        return type(cause)(message)
    return WorkerError(f"{type(cause).__name__}: {message}")


# Ray Data 2.60 appends three lines about its retries to the first argument of an exception, and has no option to
# disable it (`_annotate_exception_with_retry_context` in its util.py).
_RETRY_CONTEXT = "Failed to apply UDF transform after "
