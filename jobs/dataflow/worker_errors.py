"""What a worker raised, in place of what Ray makes of it. Used by the driver around all that runs on workers."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ray.exceptions import RayError, RayTaskError, UserCodeException

from actors.errors import CredentialsError, DecoderMismatchError, JobError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


class WorkerError(Exception):
    """A worker failed for good; the message is that of the worker's own exception."""


@contextmanager
def workers_errors() -> Iterator[None]:
    """Raises what a worker raised, in place of Ray's many lines around it."""
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, CredentialsError | DecoderMismatchError | OutputError):
            raise type(error.cause)(str(error.cause).splitlines()[0]) from error  # Ray Data adds lines of its own
        if isinstance(error.cause, JobError):
            raise error.cause from error
        if isinstance(error.cause, UserCodeException):
            raise cause_in(str(error)) from error
        raise WorkerError(f"{type(error.cause).__name__}: {error.cause}") from error
    except RayError as error:
        raise cause_in(str(error)) from error


def cause_in(text: str) -> Exception:
    """The last exception that the traceback ``text`` tells of, as a `WorkerError` unless the driver knows its kind."""
    text = _WRAPPING.split(text)[0]
    found = list(re.finditer(r"^(?:\w+\.)*(\w+): ", text, re.MULTILINE))
    if not found:
        return WorkerError(text.strip())
    said = text[found[-1].end() :].strip()
    if found[-1].group(1) == JobError.__name__ and "\n  cure: " in said:
        problem, _, cure = said.partition("\n  cure: ")
        return JobError(problem, cure=cure.splitlines()[0])
    for known in (CredentialsError, DecoderMismatchError):
        if found[-1].group(1) == known.__name__:
            return known(said.splitlines()[0])
    return WorkerError(f"{found[-1].group(1)}: {said}")


# Ray Data says this after what a predictor raised.
_WRAPPING = re.compile(r"\n\nThe above exception was the direct cause(?=[^\n]*\n\n.*\n\S*UserCodeException: )")
