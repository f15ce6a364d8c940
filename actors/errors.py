"""The errors of the project, by whose fault it is. Used on driver and workers.

Exception
├── JobError      the job is wrong: raised before any actor starts, exit status 2
├── UnreachableError  a file that the config names cannot be had from its server: another try may succeed
├── CredentialsError  an object store refuses the credentials: the run stops, and goes on once they are renewed
├── DecoderMismatchError  a GPU decodes images wrongly: the run goes on with the CPU
├── OutputError   nothing can be written any more: the run stops, and is gone on with once that is mended
└── ImageError    one image is wrong: caught by the per-image guard, becomes a row in errors/

When the world is wrong (a node lost, storage down) the library's own exception goes up to the layer that retries.
"""

from __future__ import annotations

from actors.escapes import printable


class JobError(Exception):
    """The user's job cannot be right. Shown without a traceback.

    Args:
        problem: what is wrong, naming the config key and its value, such as
            ``dataset.path=/data/nope: no such file or folder``.
        cure: what to do about it, in one sentence.
    """

    def __init__(self, problem: str, *, cure: str) -> None:
        super().__init__(problem, cure)
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        return f"{printable(self.problem)}\n  cure: {printable(self.cure)}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_job_error, (self.problem, self.cure))


class OutputError(Exception):
    """The output refuses what is written: a full disk, a right that was withdrawn. The message has the cure."""


class CredentialsError(Exception):
    """An object store refuses the job's credentials, not one object. The message has the cure."""


class DecoderMismatchError(Exception):
    """A GPU gave other pixels than the CPU; nothing that it decoded can be trusted.

    Args:
        seen: the difference, and once they are known the image and its shard; one line.
        place: of the image in its batch.
    """

    def __init__(self, seen: str, place: int = 0) -> None:
        super().__init__(seen, place)
        self.seen = printable(seen)
        self.place = place

    def __str__(self) -> str:
        return self.seen


class UnreachableError(Exception):
    """A file that the job needs cannot be had from its server. The message names the key and has the cure."""


class ImageError(Exception):
    """One image cannot be processed. Its row goes to ``errors/`` with these three fields.

    Args:
        stage: ``read``, ``decode`` or ``predict``.
        kind: one word that groups errors of one cause, such as ``not_found``, ``truncated`` or ``too_large``.
        message: what was seen, for a person; never longer than 500 characters.
    """

    def __init__(self, stage: str, kind: str, message: str) -> None:
        message = printable(message)
        message = message if len(message) <= _MAX_MESSAGE_CHARS else message[: _MAX_MESSAGE_CHARS - 1] + "…"
        super().__init__(stage, kind, message)
        self.stage = stage
        self.kind = kind
        self.message = message


_MAX_MESSAGE_CHARS = 500


def _rebuild_job_error(problem: str, cure: str) -> JobError:
    return JobError(problem, cure=cure)
