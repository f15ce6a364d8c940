from __future__ import annotations

import asyncio

import pytest
from starlette.responses import PlainTextResponse

from jobs.browsing.gate import POLICY, Gate

GATE = Gate(PlainTextResponse("inside"), "right", 80)


def status(host: str = "127.0.0.1:80", cookie: str = "shardlens-80=right", kind: str = "http") -> tuple[int, bool]:
    """Returns the status of a GET request (0 if nothing answers), and True if the application answered it."""
    sent: list[dict] = []  # type: ignore[type-arg]

    async def send(message: dict) -> None:  # type: ignore[type-arg]
        sent.append(message)

    scope = {
        "type": kind,
        "method": "GET",
        "path": "/x",
        "query_string": b"",
        "headers": [(b"host", host.encode()), (b"cookie", cookie.encode("latin-1"))],
    }
    asyncio.run(GATE(scope, None, send))  # type: ignore[arg-type]
    return (sent[0]["status"] if sent else 0), any(message.get("body") == b"inside" for message in sent)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost:8000"])
def test_a_name_of_this_machine_opens_also_through_a_tunnel(host: str) -> None:
    assert status(host=host) == (200, True)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:", "localhost.evil", "evil", "127.0.0.1:80:80", "127.0.0.1\n", "127.0.0.2", "[::1]:80", "127.1"]
)
def test_another_name_does_not(host: str) -> None:
    assert status(host=host) == (421, False)


@pytest.mark.parametrize(
    ("cookie", "opens"),
    [
        ("a=b; shardlens-80=right; c=d", True),
        ("shardlens-81=right", False),
        ("shardlens-80=", False),
        ("shardlens-80", False),
        ("=;=;;", False),
        ("shardlens-80=r\u00ecght", False),
        ("shardlens-80=right; shardlens-80=wrong", False),
    ],
)
def test_the_cookie(cookie: str, *, opens: bool) -> None:
    assert status(cookie=cookie) == ((200, True) if opens else (403, False))


def test_no_websocket_enters() -> None:
    assert status(kind="websocket") == (0, False)
    assert "script" not in POLICY
