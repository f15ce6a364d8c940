from __future__ import annotations

import errno
import pickle
from collections.abc import Callable

import flaky
import obstore.exceptions as obs
import pytest
from s3 import S3

from actors.storage.retries import Retry, transient_kind
from actors.storage.store import Storage

QUICK = Retry(first_wait_s=0.001)


def failing(*errors: Exception) -> tuple[Callable[[], str], list[Exception]]:
    """Returns a function that raises each error once and then succeeds, and the list of errors raised so far."""
    raised: list[Exception] = []

    def function() -> str:
        if len(raised) < len(errors):
            raised.append(errors[len(raised)])
            raise raised[-1]
        return "done"

    return function, raised


def notes_of(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def test_what_may_pass_is_tried_again() -> None:
    function, raised = failing(ConnectionResetError(), TimeoutError(), OSError(errno.EIO, "Input/output error"))
    assert QUICK.call(function) == "done"
    assert len(raised) == 3


@pytest.mark.parametrize("said", ["Content-Length Header missing from response", "Got invalid list response: Eof"])
def test_an_answer_that_is_damaged_may_pass(said: str) -> None:
    assert transient_kind(obs.GenericError(f"Generic S3 error: {said}")) == "server_error"


def test_after_the_last_attempt_the_error_says_how_many_there_were() -> None:
    for attempts, note in ((1, "1 attempt"), (3, "3 attempts")):
        function, raised = failing(*(ConnectionError(str(number)) for number in range(9)))
        with pytest.raises(ConnectionError) as caught:
            Retry(attempts, first_wait_s=0.001).call(function)
        assert caught.value is raised[-1]
        assert len(raised) == attempts
        assert notes_of(caught.value) == [note]


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file"),
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.ENOSPC, "No space left on device"),
        obs.GenericError("Server returned non-2xx status code: 400 Bad Request: "),
        obs.PermissionDeniedError("403"),
        ValueError("damaged"),
        EOFError("ends early"),
    ],
)
def test_what_another_attempt_cannot_change_is_raised_at_once(error: Exception) -> None:
    function, raised = failing(error)
    with pytest.raises(type(error)) as caught:
        QUICK.call(function)
    assert raised == [error]
    assert not notes_of(caught.value)
    assert transient_kind(error) is None


def test_waits_grow_up_to_their_bound() -> None:
    retry = Retry(attempts=99, first_wait_s=0.5, max_wait_s=30)
    assert [retry.max_wait_after(attempt) for attempt in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert retry.max_wait_after(10_000) == 30
    assert Retry(first_wait_s=0).max_wait_after(3) == 0


def test_it_is_plain_data() -> None:
    assert pickle.loads(pickle.dumps(QUICK)) == QUICK  # noqa: S301


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ("slow_down", "throttled"),
        ("throttled", "throttled"),
        ("server_error", "server_error"),
        (flaky.DENIED_LATE, "server_error"),
        ("reset", "unreachable"),
        ("lost", "unreachable"),
        ("half", "unreachable"),
        (flaky.SHORT, "unreachable"),
        (flaky.SILENT, "timeout"),
        (flaky.STALLED, "timeout"),
    ],
)
def test_kinds_of_what_servers_do(damage: str, kind: str, s3: S3, proxy: flaky.Flaky) -> None:
    uri = s3.put("retries/x.jpg", bytes(500_000))
    options = {**proxy.options(s3), "read_timeout": "500ms"}
    proxy.damage("x.jpg", damage)
    with pytest.raises(Exception) as caught:  # noqa: PT011  which class it is of is not the point
        Storage(options, Retry(attempts=1)).read_ranges(uri, [10], [400_000])
    assert transient_kind(caught.value) == kind
    proxy.damage("x.jpg", damage)
    assert Storage(options, QUICK).read_ranges(uri, [10], [400_000]) == [bytes(400_000)]


@pytest.mark.parametrize(
    ("uri", "error"), [("http://127.0.0.1:1/x.jpg", ConnectionError), ("s3://bucket/x.jpg", obs.GenericError)]
)
def test_a_server_that_refuses_connections(uri: str, error: type[Exception]) -> None:
    options = {"endpoint": "http://127.0.0.1:1", "allow_http": "true", "access_key_id": "x", "secret_access_key": "x"}
    with pytest.raises(error) as caught:
        Storage(options, Retry(attempts=1)).read(uri)
    assert transient_kind(caught.value) == "unreachable"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('status code: 400 Bad Request: <?xml version="1.0"?><Error><Code>RequestTimeout</Code>', "timeout"),
        ("Server returned error response: <DeleteResult><Error><Key>k</Key><Code>SlowDown</Code>", "throttled"),
        ("Server returned error response: <DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code>", None),
        ("status code: 408 Request Timeout: ", "timeout"),
        ("status code: 404 Not Found: <Code>NoSuchBucket</Code>", None),
    ],
)
def test_kinds_of_answers_that_no_test_server_gives(said: str, kind: str | None) -> None:
    assert transient_kind(obs.GenericError(f"Generic S3 error: Error performing POST - {said}")) == kind
