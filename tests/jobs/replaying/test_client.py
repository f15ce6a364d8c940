from __future__ import annotations

import itertools
import time

import pytest
from answering import Asked, Reply, answering

from actors.errors import CredentialsError, ImageError, JobError, UnreachableError
from jobs.replaying.client import Answer, Client
from jobs.replaying.sample import Sent


def ask(url: str, *images: bytes | ImageError, token: str | None = None, timeout_s: float = 20.0) -> list[Answer]:
    client = Client(url, token, concurrency=3, timeout_s=timeout_s)
    return client.answers(Sent({"image_id": str(number)}, image) for number, image in enumerate(images))


def test_answers_are_in_the_order_of_the_images() -> None:
    def reply(asked: Asked) -> Reply:
        time.sleep(0.05 if asked.body == b"0" else 0)
        return Reply({"label": asked.body.decode()}, 422 if asked.body == b"4" else 200)

    with answering(reply) as (url, asked):
        answers = ask(f"{url}/", *(str(number).encode() for number in range(8)), token="secret")  # noqa: S106
    assert [(answer.row["image_id"], answer.content["label"]) for answer in answers] == [
        (str(n), str(n)) for n in range(8)
    ]
    assert {(one.path, one.token) for one in asked} == {("/predict", "Bearer secret")}


def test_a_busy_endpoint_is_asked_again_and_then_given_up() -> None:
    numbers = itertools.count()
    with answering(lambda _: Reply({}, 503, (("Retry-After", "0"),)) if next(numbers) < 3 else Reply({"a": 1})) as (
        url,
        _,
    ):
        assert ask(url, b"x")[0].content == {"a": 1}
    with (
        answering(lambda _: Reply({"error": "too busy"}, 503, (("Retry-After", "1"),))) as (url, _),
        pytest.raises(UnreachableError, match=r"503: .*too busy"),
    ):
        ask(url, b"x", timeout_s=0.5)


def test_a_redirect_is_not_followed_and_the_token_stays() -> None:
    with answering(lambda _: Reply({"label": 1})) as (other, asked_elsewhere):
        moved = Reply(b"", 307, (("Location", f"{other}/predict"),))
        with answering(lambda _: moved) as (url, _), pytest.raises(UnreachableError, match="status 307"):
            ask(url, b"x", token="secret")  # noqa: S106
    assert asked_elsewhere == []


@pytest.mark.parametrize(
    ("reply", "error", "named"),
    [
        (Reply({}, 401), CredentialsError, "replay.token_file"),
        (Reply({}, 403), CredentialsError, "refuses the token"),
        (Reply({}, 404), UnreachableError, "status 404"),
        (Reply(b"<html>"), JobError, "no row in JSON"),
        (Reply([1]), JobError, "no row in JSON"),
    ],
)
def test_what_is_no_answer_is_named(reply: Reply, error: type[Exception], named: str) -> None:
    with answering(lambda _: reply) as (url, _), pytest.raises(error, match=named) as raised:
        ask(url, b"x", token="hush-hush")  # noqa: S106
    assert "hush-hush" not in str(raised.value)


def test_nothing_listens_or_is_no_url() -> None:
    with pytest.raises(UnreachableError, match=r"jobs\.serve"):
        ask("http://127.0.0.1:9", b"x")
    with pytest.raises(JobError, match="url=localhost"):
        ask("localhost:8000", b"x")


def test_an_image_that_is_gone_is_not_sent_and_one_too_large_is_an_answer() -> None:
    with answering(lambda _: Reply({}, 413)) as (url, asked):
        gone, large = ask(url, ImageError("read", "not_found", "no such file"), b"x")
    assert (gone.unsent, len(asked)) == ("no such file", 1)
    assert large.content["error"] == "too_large"
