from __future__ import annotations

import errno

import obstore.exceptions as obs
import pyarrow as pa
import pytest

from actors.errors import JobError, OutputError
from actors.messages import one_line, read_error, redacted, write_problem, writing_to
from actors.storage.store import TooLargeError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError(2, "No such file or directory"), "not_found"),
        (NotADirectoryError(20, "Not a directory"), "not_found"),
        (PermissionError(13, "Permission denied"), "permission_denied"),
        (obs.PermissionDeniedError("403"), "permission_denied"),
        (obs.UnauthenticatedError("401"), "permission_denied"),
        (TooLargeError("9 bytes"), "too_large"),
        (obs.GenericError("no credentials"), "unreachable"),
        (ConnectionResetError("reset"), "unreachable"),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "timeout"),
        (obs.GenericError("Server returned non-2xx status code: 429 Too Many Requests: "), "throttled"),
        (obs.GenericError("Server returned non-2xx status code: 502 Bad Gateway: "), "server_error"),
        (OSError(5, "Input/output error"), "io_error"),
        (EOFError("ends early"), "io_error"),
        (RuntimeError("what?"), "io_error"),
        (ValueError("embedded null byte"), "invalid_name"),
        (JobError("foo://x: unknown", fix="another"), "invalid_name"),
        (pa.ArrowInvalid("not a parquet file"), "bad_parquet"),
        (KeyError("image"), "bad_parquet"),
    ],
)
def test_each_cause_has_its_kind(error: Exception, kind: str) -> None:
    found = read_error(error)
    assert (found.stage, found.kind) == ("read", kind)
    assert found.message


def test_a_message_is_one_line() -> None:
    assert one_line(obs.GenericError("no route\n\nDebug source:\nGeneric { ... }")) == "no route"
    assert one_line(obs.GenericError('status 404: <?xml version="1.0"?>\n<Error/>')) == "status 404"
    assert one_line(FileNotFoundError(2, "No such file or directory", b"/x")) == "No such file or directory"
    assert one_line(ValueError()) == "ValueError"


def test_equal_causes_read_alike_whatever_time_they_took() -> None:
    cause = "Error performing GET http://h/a in b.jpg{} - Server returned non-2xx status code: 503 Slow Down: <?xml x"
    for duration in (" in 2.076878ms", " in 770.689µs", " in 1.2s"):
        error = obs.GenericError(cause.format(duration))
        error.add_note("5 attempts")
        assert one_line(error) == (
            "Error performing GET http://h/a in b.jpg - Server returned non-2xx status code: 503 Slow Down (5 attempts)"
        )
    error = OSError(errno.EIO, "Input/output error")
    error.add_note("1 attempt")
    assert read_error(error).message == "Input/output error (1 attempt)"


@pytest.mark.parametrize(
    ("error", "reason", "fix"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full", "free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota", "free some space"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only", "make it writable"),
        (OSError(errno.EFBIG, "File too large"), "larger than the limit", "lower output.rows_per_part"),
        (PermissionError(errno.EACCES, "Permission denied"), "permission denied", "permission to write"),
        (
            obs.PermissionDeniedError("The operation lacked privileges: <Code>AccessDenied"),
            "permission denied",
            "permission",
        ),
        (FileNotFoundError("Object at location x not found"), "no such bucket", "output.path"),
    ],
)
def test_what_forbids_writing_is_said_in_one_line_with_a_fix(error: Exception, reason: str, fix: str) -> None:
    text = write_problem(error, "https://user:pass@host/x.parquet?sig=SECRET")
    assert text is not None
    assert text.startswith("https://…@host/x.parquet?…: cannot be written: ")
    assert reason in text
    assert one_line(error) in text
    assert fix in text.partition("; ")[2]
    assert "\n" not in text


@pytest.mark.parametrize("error", [obs.GenericError("503"), OSError(errno.EIO, "Input/output error"), ValueError("x")])
def test_what_does_not_forbid_writing_is_no_such_problem(error: Exception) -> None:
    assert write_problem(error, "/x") is None


def test_what_cannot_be_written_is_an_error_of_the_output_and_all_else_comes_through() -> None:
    with (
        pytest.raises(OutputError, match="/out: cannot be written: the quota of this user is used up"),
        writing_to("/out"),
    ):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    with pytest.raises(obs.GenericError), writing_to("/out"):
        raise obs.GenericError("503")


def test_secrets_of_urls_are_left_out() -> None:
    text = "GET https://user:pass@host/a.jpg?sig=SECRET&x=1 failed, then http://host/b?c not s3://b/what?.jpg"
    assert redacted(text) == "GET https://…@host/a.jpg?… failed, then http://host/b?… not s3://b/what?.jpg"
