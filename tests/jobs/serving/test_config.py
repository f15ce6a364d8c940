from __future__ import annotations

import socket
from hashlib import sha256
from pathlib import Path

import pytest

from actors.errors import JobError
from jobs.serving.config import Serve


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("serve", "named"),
    [
        (Serve(batch_size=0), "serve.batch_size=0"),
        (Serve(max_queued=-1), "serve.max_queued=-1"),
        (Serve(min_replicas=2), "serve.max_replicas=1"),
        (Serve(port=70_000), "serve.port=70000"),
        (Serve(host="0.0.0.0"), "serve.token_file=FILE"),  # noqa: S104
        (Serve(host="images.example"), "serve.token_file=FILE"),
        (Serve(allow=[""]), "allow"),
    ],
)
def test_a_wrong_value_is_named(serve: Serve, named: str) -> None:
    with pytest.raises(JobError) as raised:
        serve.check()
    assert named in str(raised.value)


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(JobError, match=f"serve.port={port}"):
            Serve(port=port).check()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    serve = Serve(host=host, port=free_port())
    serve.check()
    assert serve.token_digest() is None


def test_only_the_digest_of_the_token_leaves_the_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n", encoding="utf-8")
    assert Serve(token_file=str(file)).token_digest() == sha256(b"0123456789abcdef").digest()


@pytest.mark.parametrize("content", [None, "", "short"])
def test_a_token_that_keeps_nobody_out_is_refused(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(JobError, match=r"serve\.token_file"):
        Serve(token_file=str(file)).token_digest()


def test_replicas_that_do_not_fit_are_refused_with_what_is_free() -> None:
    serve = Serve(min_replicas=3, max_replicas=3, cpus_per_replica=0.5)
    serve.check_room({"CPU": 1.6}, 0.1)
    with pytest.raises(
        JobError, match=r"serve\.min_replicas=3: 1\.5 CPUs are free, and 0\.1 of the endpoint and 3 times"
    ):
        serve.check_room({"CPU": 1.5}, 0.1)
    with pytest.raises(JobError, match=r"0 GPUs are free, and 1 times serve\.gpus_per_replica=1"):
        Serve(gpus_per_replica=1).check_room({"CPU": 2})
