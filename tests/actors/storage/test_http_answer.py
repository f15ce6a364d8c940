from __future__ import annotations

import pytest
import recording
from recording import reply

from actors.storage.retries import Retry, TransientError
from actors.storage.store import Storage


@pytest.mark.parametrize(
    ("header", "version"),
    [
        (b'ETag: "v1"', "v1"),
        (b'ETag: W/"v1"', 'W/"v1'),
        (b"Last-Modified: Sat, 20 May 2017 23:53:04 GMT", "2017-05-20 23:53:04+00:00"),
        (b"Last-Modified: yesterday", None),
        (b"Server: x", None),
    ],
)
def test_the_version_of_an_object(header: bytes, version: str | None) -> None:
    with recording.serve(lambda _: reply(b"", header)) as server:
        assert Storage(retry=Retry(attempts=1)).describe(f"{server.url}/x") == (0, version)


def test_a_server_says_how_long_it_wants_to_be_left_alone() -> None:
    with (
        recording.serve(lambda _: reply(b"", b"Retry-After: 7", status=429)) as server,
        pytest.raises(TransientError, match="429") as caught,
    ):
        Storage(retry=Retry(attempts=1)).read(f"{server.url}/x")
    assert (caught.value.kind, caught.value.wait_s) == ("throttled", 7.0)


@pytest.mark.parametrize("span", [b"Server: x", b"Content-Range: bytes */9", b"Content-Range: bytes 5-6/9"])
def test_a_range_that_was_not_asked_for(span: bytes) -> None:
    with recording.serve(lambda _: reply(b"xx", span, status=206)) as server, pytest.raises(ConnectionError):
        Storage(retry=Retry(attempts=1)).read_ranges(f"{server.url}/x", [0], [2])
