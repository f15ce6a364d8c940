from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from browsed import HOSTILE_NAMES, TOKEN, Client, Elements, browsed_run, served
from PIL import Image

from actors.outputs import PublishedRun


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> PublishedRun:
    return browsed_run(tmp_path_factory.mktemp("browsed"))


@pytest.fixture(scope="module")
def client(run: PublishedRun) -> Iterator[Client]:
    with served(run) as found:
        yield found


def names_on(client: Client, target: str) -> list[str]:
    answer = client.get(target)
    assert answer.status == 200, answer.text
    return [text for text in Elements(answer.text).text if text.endswith(".jpg")]


HOSTILE = [
    # Other files.
    ("GET", "/../../../../etc/passwd", 404),
    ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
    ("GET", "/picture/../../secret.jpg", 404),
    ("GET", "/picture/0/..%2f..%2fsecret.jpg", 404),
    ("GET", "/picture//etc/passwd", 404),
    ("GET", "/report/../manifest.json", 404),
    ("GET", "/page.css%00.html", 404),
    ("GET", "//evil.example/", 404),
    # Rows that do not exist.
    ("GET", "/picture/0/-1", 404),
    ("GET", "/picture/99999999999999999999999/0", 404),
    ("GET", "/image/0/2147483647", 404),
    ("GET", "/image/0%20OR%201=1/0", 404),
    # Invalid filters.
    ("GET", "/?sort=score;DROP%20TABLE%20images", 400),
    ("GET", "/?sort=c0", 400),
    ("GET", "/?sort=(SELECT%201)", 400),
    ("GET", "/?order=up,score", 400),
    ("GET", "/?score_min=0%20OR%201=1", 400),
    ("GET", "/?score_max=nan", 400),
    ("GET", "/?outcome=ok'--", 400),
    ("GET", "/?page=0", 400),
    ("GET", "/?page=-1", 400),
    ("GET", "/?page=99999999999999999999", 400),
    ("GET", "/?page=999999999", 400),
    ("GET", "/?size=1000000", 400),
    ("GET", "/?password=1", 400),
    ("GET", "/?page=1&page=2", 400),
    ("GET", f"/?text={'a' * 2000}", 400),
    # Methods.
    ("POST", "/", 405),
    ("DELETE", "/picture/0/0", 405),
    ("OPTIONS", "/", 405),
    ("TRACE", "/", 405),
]


@pytest.mark.parametrize(("method", "target", "status"), HOSTILE)
def test_a_hostile_request_is_refused(client: Client, method: str, target: str, status: int) -> None:
    answer = client.get(target, method=method)
    assert answer.status == status
    assert len(answer.body) < 300
    assert not any(word in answer.text for word in ("root:", "fingerprint", "Traceback", "duckdb", "<"))
    assert len(names_on(client, "/?size=100")) == 40 + len(HOSTILE_NAMES) + 1


@pytest.mark.parametrize("target", ["/", "/report", "/page.css", "/picture/0/0", "/image/0/0", "/nothing", "/?x=1"])
@pytest.mark.parametrize(
    "options",
    [
        {"cookie": None},
        {"cookie": "wrong"},
        {"cookie": ""},
        {"cookie": f"{TOKEN}x"},
        {"cookie": TOKEN[:-1]},
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "127.0.0.1@evil.example"},
        {"host": ""},
    ],
    ids=str,
)
def test_nobody_without_the_token_or_under_another_name_learns_anything(
    client: Client, target: str, options: dict[str, str]
) -> None:
    answer = client.get(target, **options)  # type: ignore[arg-type]
    assert answer.status == (421 if "host" in options else 403)
    assert len(answer.body) < 100


@pytest.mark.parametrize(
    ("target", "status"),
    [("/?token=wrong", 403), ("/?token=", 403), (f"/report?token={TOKEN}", 403), (f"/?token=wrong&token={TOKEN}", 403)],
)
def test_only_the_right_token_opens(client: Client, target: str, status: int) -> None:
    answer = client.get(target, cookie=None)
    assert (answer.status, "set-cookie" in answer.headers) == (status, False)


def test_the_token_becomes_a_cookie_and_leaves_the_address(client: Client) -> None:
    answer = client.get(f"/?token={TOKEN}", cookie=None)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie == f"shardlens-{client.port}={TOKEN}; HttpOnly; Path=/; SameSite=strict"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /?text=a\r\nX-Evil: 1 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    ],
    ids=["injected", "no-host", "two-hosts", "proxy", "long", "tls"],
)
def test_a_malformed_request_is_refused(client: Client, request_bytes: bytes) -> None:
    answer = client.send(request_bytes)
    assert answer.status in (400, 403, 421, 431)
    assert "x-evil" not in answer.headers
    assert client.get("/").status == 200


def test_an_injected_header_stays_text(client: Client) -> None:
    answer = client.get("/?text=a%0d%0aSet-Cookie:%20x=1")
    assert answer.status == 200
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "text", ["%27%20OR%20%271%27=%271", "%27;%20DROP%20TABLE%20images;%20--", "%25.jpg", "0_0.jpg", "%00"]
)
def test_sql_in_a_filter_is_text(client: Client, text: str) -> None:
    assert len(names_on(client, f"/?size=100&text={text}")) == (1 if "DROP" in text else 0)
    assert names_on(client, f"/?label={text}") == names_on(client, f"/?error={text}") == []


def test_all_answers_have_the_headers(client: Client) -> None:
    for target in ("/", "/picture/0/0", "/report", "/nothing", "/?x=1"):
        answer = client.get(target)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "script-src" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "server" not in answer.headers
    assert client.get("/report").headers["content-security-policy"].startswith("sandbox;")
    assert client.get("/report").body == b"<p>the report</p>"
    assert client.get("/", method="HEAD").body == b""


def test_the_pages_show_names_and_obey_none(client: Client) -> None:
    for target in (
        "/?size=100",
        "/?size=100&sort=image_id&order=down",
        "/?text=%22%3E%3Cscript%3E&label=%22%3E%3Cb%3E",
    ):
        page = Elements(client.get(target).text)
        assert not page.names & {"script", "iframe", "object", "embed", "b"}
        assert not any(name.startswith("on") or name == "style" for name in page.attributes)
        assert all(link.startswith(("/", "#", "data:,")) and not link.startswith("//") for link in page.links)
    shown = names_on(client, "/?size=100")
    assert any("<script>alert(1)<" in name for name in shown)
    assert any("{{ 7 * 7 }}{% raw %}" in name for name in shown)
    assert any("a\\nb\\x1b[31m" in name for name in shown)


def test_pages_follow_each_other(client: Client) -> None:
    everything = names_on(client, "/?size=100")
    assert names_on(client, "/?size=25") + names_on(client, "/?size=25&page=2") == everything
    assert sorted(everything) == sorted(names_on(client, "/?size=100&sort=score&order=down"))


def test_a_picture_is_that_of_its_row(client: Client, run: PublishedRun) -> None:
    uris = [row["uri"] for row in run.read(["uri"]).__next__().slice(0, 2).to_pylist()]
    for number, uri in enumerate(uris):
        answer = client.get(f"/picture/0/{number}")
        assert answer.headers["content-type"] == "image/webp"
        shown = np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGB"), int)
        assert np.abs(shown - np.asarray(Image.open(uri).convert("RGB"), int)).mean() < 12


def test_the_page_of_an_image_tells_what_failed(client: Client) -> None:
    link = next(
        link for link in Elements(client.get("/?error=decode/truncated&text=junk").text).links if "/image/" in link
    )
    page = "".join(Elements(client.get(link).text).text)
    assert "decode/truncated" in page
    assert "cut off" in page
    assert "ff d8 20 6a 75 6e 6b" in page
    assert client.get(link.replace("image", "picture")).headers["content-type"] == "image/svg+xml"
