"""The project's exceptions, one for each party at fault. Used on driver and workers.

Exception
├── JobError      the job is wrong: raised before any actor starts, exit status 2
├── UnreachableError  a file that the config names cannot be fetched: a retry may succeed
├── CredentialsError  an object store refuses the credentials: the run stops, and can be resumed once they are renewed
├── DecoderMismatchError  a GPU decodes images wrongly: the run continues on the CPU
├── OutputError   the output cannot be written: the run stops, and can be resumed once that is fixed
└── ImageError    one image is wrong: caught by the per-image guard, becomes a row in errors/

Failures of the environment (a lost node, storage down) keep the library's own exception, up to the layer that retries.
"""

from __future__ import annotations

from actors.escapes import printable


class JobError(Exception):
    """The job is wrong. Shown without a traceback.

    Args:
        problem: the problem, with the config key and its value, such as
            ``dataset.path=/data/nope: no such file or folder``.
        fix: the remedy, in one sentence.
    """

    def __init__(self, problem: str, *, fix: str) -> None:
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{printable(self.problem)}\n  fix: {printable(self.fix)}"

    # Exceptions are rebuilt from positional arguments alone, and ``fix`` is a keyword.
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_job_error, (self.problem, self.fix))


class OutputError(Exception):
    """The output cannot be written, because of a full disk or missing permissions. The message has the fix."""


class CredentialsError(Exception):
    """An object store refuses the job's credentials, and not just one object. The message has the fix."""


class DecoderMismatchError(Exception):
    """A GPU decoded an image to other pixels than the CPU, so that none of its pixels can be trusted.

    Args:
        seen: the difference, with the image and its shard once they are known; one line.
        place: position of the image in its batch.
    """

    def __init__(self, seen: str, place: int = 0) -> None:
        super().__init__(seen, place)
        self.seen = printable(seen)
        self.place = place

    def __str__(self) -> str:
        return self.seen


class UnreachableError(Exception):
    """A file that the job needs cannot be fetched from its server. The message has the key and the fix."""


class ImageError(Exception):
    """One image cannot be processed. Its row in ``errors/`` holds these three fields.

    Args:
        stage: ``read``, ``decode`` or ``predict``.
        kind: identifier of the cause, such as ``not_found``, ``truncated`` or ``too_large``.
        message: description for people, cut to 500 characters.
    """

    def __init__(self, stage: str, kind: str, message: str) -> None:
        message = printable(message)
        message = message if len(message) <= _MAX_MESSAGE_CHARS else message[: _MAX_MESSAGE_CHARS - 1] + "…"
        super().__init__(stage, kind, message)
        self.stage = stage
        self.kind = kind
        self.message = message


_MAX_MESSAGE_CHARS = 500  # decoders and servers may repeat what they read; rows of errors/ stay small


def _rebuild_job_error(problem: str, fix: str) -> JobError:
    return JobError(problem, fix=fix)
