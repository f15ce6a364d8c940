from __future__ import annotations

import obstore.exceptions as obs
import pyarrow as pa
import pytest

from actors.errors import JobError
from actors.messages import one_line, read_error, redacted
from actors.storage import TooLargeError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError(2, "No such file or directory"), "not_found"),
        (NotADirectoryError(20, "Not a directory"), "not_found"),
        (PermissionError(13, "Permission denied"), "permission_denied"),
        (obs.PermissionDeniedError("403"), "permission_denied"),
        (obs.UnauthenticatedError("401"), "permission_denied"),
        (TooLargeError("9 bytes"), "too_large"),
        (obs.GenericError("no route to host"), "unreachable"),
        (ConnectionResetError("reset"), "unreachable"),
        (OSError(5, "Input/output error"), "io_error"),
        (EOFError("ends early"), "io_error"),
        (RuntimeError("what?"), "io_error"),
        (ValueError("embedded null byte"), "invalid_name"),
        (JobError("foo://x: unknown", cure="another"), "invalid_name"),
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


def test_secrets_of_urls_are_left_out() -> None:
    text = "GET https://user:pass@host/a.jpg?sig=SECRET&x=1 failed, then http://host/b?c not s3://b/what?.jpg"
    assert redacted(text) == "GET https://…@host/a.jpg?… failed, then http://host/b?… not s3://b/what?.jpg"
