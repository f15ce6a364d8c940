from __future__ import annotations

import gzip
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import recording
from recording import Request, reply

from actors.errors import JobError
from actors.messages import one_line, read_error
from actors.storage.allowlist import Allowlist, NotAllowedError
from actors.storage.http_store import HttpStore
from actors.storage.retries import Retry, transient_kind
from actors.storage.store import Storage, TooLargeError

BODY = bytes(range(256)) * 8
ONCE = Retry(attempts=1)
QUICK = Retry(attempts=3, first_wait_s=0.001)


def read(url: str, retry: Retry = ONCE, max_bytes: int | None = None) -> bytes:
    return Storage(retry=retry).read(url, max_bytes=max_bytes)


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        (target, target)
        for target in [
            "/a%2Fb%2b.jpg",
            "/x//y.jpg",
            "/a/../b/./c",
            "/photo/",
            "/%e9%E9",
            "/a?q=%2F+&b=/?",
            "/a;b='!*()[]",
        ]
    ]
    + [("/a.jpg#top", "/a.jpg"), ("", "/"), ("?q=1", "/?q=1"), ("/a b/日.jpg", "/a%20b/%E6%97%A5.jpg")],
)
def test_a_url_is_asked_for_as_written(written: str, asked: str) -> None:
    with recording.serve(lambda _: reply(BODY)) as server:
        assert read(server.url + written) == BODY
    assert server.asked == [f"GET {asked}"]


def test_no_credentials_of_ours_are_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    (netrc := tmp_path / "netrc").write_text("machine 127.0.0.1 login me password SECRET\n")  # type: ignore[operator]
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SECRET")
    options = {"access_key_id": "SECRET", "secret_access_key": "SECRET", "endpoint": "http://127.0.0.1:1"}
    with recording.serve(lambda _: reply(BODY)) as server:
        assert Storage(options).read(f"{server.url}/a.jpg") == BODY
    assert set(server.requests[0].headers) == {"host", "accept", "accept-encoding", "user-agent"}


def test_a_user_in_the_url_is_told_to_that_server_alone() -> None:
    with recording.serve(lambda _: reply(BODY)) as other:

        def answer(request: Request) -> bytes:
            onward = {"/here": b"/there", "/there": other.url.encode() + b"/away"}[request.target]
            return reply(b"", b"Location: " + onward, status=302)

        with recording.serve(answer) as server:
            assert read(server.url.replace("//", "//u%40x:p%3A@") + "/here") == BODY
    assert [request.headers.get("authorization") for request in server.requests] == ["Basic dUB4OnA6"] * 2
    assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize("location", [b"file:///etc/passwd", b"s3://bucket/key", b"/again"])
def test_redirects_that_lead_nowhere(location: bytes) -> None:
    moved = reply(b"", b"Location: " + location, status=302)
    with (
        recording.serve(lambda _: moved) as server,
        pytest.raises((OSError, ValueError), match=r"redirects|not an http"),
    ):
        read(f"{server.url}/again")


CHUNKED = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:999], BODY[999:], b""))


@pytest.mark.parametrize(
    "answer",
    [
        reply(CHUNKED, b"Transfer-Encoding: chunked", length=False),
        reply(BODY, length=False),
        reply(gzip.compress(BODY), b"Content-Encoding: gzip"),
        reply(BODY, b"Last-Modified: Saturday, 20-May-17 23:53:04 GMT", b'ETag: "caf\xe9"'),
        reply(BODY, "Content-Disposition: inline; filename=日本.jpg".encode(), b"Last-Modified: 0"),
    ],
)
def test_bodies_and_headers_as_servers_send_them(answer: bytes) -> None:
    head = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    with recording.serve(lambda request: head if request.method == "HEAD" else answer) as server:
        assert read(f"{server.url}/a.jpg") == BODY
        size, version = Storage(retry=ONCE).describe(f"{server.url}/a.jpg")
        assert size == len(BODY)
        assert version is None or version.encode()  # encodable, thus fit for a column


@pytest.mark.parametrize("head", [b"", b"Content-Encoding: gzip\r\n"], ids=["endless", "gzip bomb"])
def test_a_long_body_is_cut_off_while_it_streams(head: bytes) -> None:
    sent = 0

    def answer(_: Request) -> Iterator[bytes]:
        nonlocal sent
        yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + head + b"\r\n"
        pieces = [gzip.compress(bytes(1 << 28), 1)] if head else [bytes(1 << 16)] * 4096
        for piece in pieces:
            sent += len(piece)
            yield piece

    with recording.serve(answer) as server, pytest.raises(TooLargeError):
        read(f"{server.url}/a.jpg", max_bytes=100_000)
    assert sent < 32 << 20


def test_a_drip_ends_in_the_time_allowed() -> None:
    def answer(_: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
        for _ in range(100):
            time.sleep(0.1)
            yield b"x"

    start = time.monotonic()
    with recording.serve(answer) as server, pytest.raises(TimeoutError):
        read(f"{server.url}/a.jpg", Retry(attempts=5, first_wait_s=0.001, timeout_s=0.5))
    assert time.monotonic() - start < 3
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "attempts"),
    [
        (reply(status=503), "server_error", 3),
        (reply(b"", b"Retry-After: 0", status=429), "throttled", 3),
        (reply(BODY)[:-1], "unreachable", 3),
        (b"\x00\x01\x02", "unreachable", 3),
        (reply(status=404), None, 1),
        (reply(status=410), None, 1),
        (reply(status=403), None, 1),
        (reply(status=400), None, 1),
    ],
)
def test_what_is_tried_again(answer: bytes, kind: str | None, attempts: int) -> None:
    with recording.serve(lambda _: answer) as server, pytest.raises(OSError) as caught:  # noqa: PT011  of many types
        read(f"{server.url}/a.jpg?sig=SECRET", QUICK)
    assert transient_kind(caught.value) == kind
    assert len(server.requests) == attempts
    assert "SECRET" not in one_line(caught.value)


def ranged(request: Request, *, head: bool = True, ranges: bool = True) -> bytes:
    if request.method == "HEAD":
        return reply(BODY, b'ETag: "v1"').removesuffix(BODY) if head else reply(status=405)
    if not ranges or "range" not in request.headers:
        return reply(BODY, b'ETag: "v1"', length=ranges)
    first, last = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
    if first >= len(BODY):
        return reply(status=416)
    span = b"Content-Range: bytes %d-%d/%d" % (first, min(last, len(BODY) - 1), len(BODY))
    return reply(BODY[first : last + 1], span, b'ETag: "v1"', status=206)


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
def test_sizes_and_ranges(*, head: bool, ranges: bool) -> None:
    with recording.serve(partial(ranged, head=head, ranges=ranges)) as server:
        storage, url = Storage(retry=ONCE), f"{server.url}/a.tar"
        assert storage.describe(url) == (len(BODY), "v1")
        starts, sizes = [5, 2000, 5000, 0], [10, 100, 10, 0]
        assert storage.read_ranges(url, starts, sizes) == [BODY[5:15], BODY[2000:], b"", b""]
        with storage.open(url) as file:
            assert file.read() == BODY


def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with recording.serve(lambda _: reply(BODY)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        assert read("http://images.invalid/a%2Fb.jpg") == BODY
        monkeypatch.setenv("no_proxy", "images.invalid")
        with pytest.raises(ConnectionError):
            read("http://images.invalid/a.jpg")
    assert proxy.asked == ["GET http://images.invalid/a%2Fb.jpg"]


def test_an_option_that_is_no_time() -> None:
    with pytest.raises(JobError, match="timeout=soon: not a time"):
        HttpStore({"timeout": "soon"}, ONCE)


TOGETHER = """
import sys, threading
from actors.storage.retries import Retry
from actors.storage.store import Storage

sys.setswitchinterval(1e-6)
storage, together, read = Storage(retry=Retry(attempts=1)), threading.Barrier(16), []

def take():
    together.wait()
    read.append(storage.read(sys.argv[1]))

threads = [threading.Thread(target=take) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(read) == 16
"""


@pytest.mark.slow
def test_the_first_requests_of_a_process_may_come_together() -> None:
    with recording.serve(lambda _: reply(BODY)) as server:
        for _ in range(3):
            command = [sys.executable, "-c", TOGETHER, f"{server.url}/a.jpg"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr


def moved_to(url: str) -> bytes:
    return reply(b"", b"Location: " + url.encode(), status=302)


def test_each_hop_of_a_redirect_must_be_allowed() -> None:
    with recording.serve(lambda _: reply(BODY)) as other:

        def answer(request: Request) -> bytes:
            return moved_to(other.url + "/x") if request.target == "/a/away" else moved_to("/a/away")

        with recording.serve(answer) as server:
            storage = Storage(retry=QUICK, allow=Allowlist.parse([f"{server.url}/a"]))
            for target in ("/a/away", "/a/twice"):
                with pytest.raises(NotAllowedError, match="does not name it"):
                    storage.read(server.url + target)
            with pytest.raises(NotAllowedError):
                storage.describe(server.url + "/b")
            wider = Storage(retry=ONCE, allow=Allowlist.parse([f"{server.url}/a", other.url]))
            assert wider.read(server.url + "/a/twice") == BODY
    assert other.asked == ["GET /x"]
    assert server.asked == ["GET /a/away", "GET /a/twice", "GET /a/away", "GET /a/twice", "GET /a/away"]


def test_nobody_is_asked_at_a_private_address_behind_a_name() -> None:
    with recording.serve(lambda _: reply(BODY)) as server:
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            with pytest.raises(NotAllowedError) as caught:
                Storage(retry=QUICK, allow=Allowlist.parse(["http://"])).read(f"{url}/a.jpg")
            assert read_error(caught.value).kind == "not_allowed"
    assert server.requests == []


@pytest.fixture
def https(tmp_path: Path) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """Yields the URL of an HTTPS server, options that trust it, and the target of its redirects."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    location = [""]
    with recording.serve(lambda _: moved_to(location[0]), context) as server:
        yield server.url, {"root_certificate": certificate.read_text()}, location


def test_no_redirect_from_https_to_http_that_nobody_named(https: tuple[str, dict[str, str], list[str]]) -> None:
    url, options, location = https
    with recording.serve(lambda request: reply(BODY) if request.target == "/a" else moved_to(url)) as plain:
        location[0] = f"{plain.url}/a"
        with pytest.raises(NotAllowedError, match="from https to http"):
            Storage(options, ONCE).read(f"{url}/a.jpg")
        assert plain.requests == []
        assert Storage(options, ONCE, Allowlist.parse([url, plain.url])).read(f"{url}/a.jpg") == BODY
        assert Storage(options, ONCE).read(f"{plain.url}/by-http") == BODY
