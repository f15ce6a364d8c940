"""Sends images to the endpoint, several at a time, and waits while it is busy. Runs on the driver."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
from yarl import URL

from actors.errors import CredentialsError, ImageError, JobError, UnreachableError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jobs.replaying.sample import Sent


class Answer(NamedTuple):
    """The endpoint's answer for one image, with the image's row in the run."""

    row: Mapping[str, Any]
    content: Mapping[str, Any]
    """A row, or stage, error and message."""
    unsent: str = ""
    """Reason why the image was not sent; `content` is then empty."""


class Client:
    """Posts images to ``/predict``.

    Args:
        url: address of the endpoint.
        token: bearer token; None sends none.
        concurrency: number of requests in flight.
        timeout_s: seconds to wait for an answer, from the first attempt.
    """

    def __init__(self, url: str, token: str | None, *, concurrency: int, timeout_s: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise JobError(f"url={url}: is not an http(s) URL", fix="give that of jobs.serve: http://localhost:8000")
        self._url = URL(url.rstrip("/") + "/predict")
        self._headers = {"Content-Type": "application/octet-stream"}
        self._headers |= {"Authorization": f"Bearer {token}"} if token else {}
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self.url = str(self._url.with_user(None).parent)
        """The address without user information."""
        self._name = f"url={self.url}"

    def answers(self, images: Iterable[Sent]) -> list[Answer]:
        """Returns the answer for each of ``images``, in order.

        Raises:
            UnreachableError: the endpoint does not answer, or answers with a server error.
            CredentialsError: the endpoint rejects the token.
            JobError: the address is not an endpoint of jobs.serve.
        """
        return asyncio.run(self._answers(iter(images)))

    async def _answers(self, images: Iterator[Sent]) -> list[Answer]:
        found: dict[int, Answer] = {}
        numbered = enumerate(images)
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        # Proxies and ~/.netrc are ignored: credentials go only to the host named by the user.
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout, trust_env=False) as session:

            async def work() -> None:
                for number, sent in numbered:
                    found[number] = await self._answer(session, sent)

            tasks = [asyncio.create_task(work()) for _ in range(self._concurrency)]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
        return [found[number] for number in sorted(found)]

    async def _answer(self, session: aiohttp.ClientSession, sent: Sent) -> Answer:
        if isinstance(sent.image, ImageError):
            return Answer(sent.row, {}, unsent=sent.image.message)
        end = time.monotonic() + self._timeout_s
        while True:
            status, body, wait_s = await self._post(session, bytes(sent.image))
            if status == _BUSY and time.monotonic() + wait_s < end:
                await asyncio.sleep(wait_s)
            else:
                return Answer(sent.row, self._parsed(status, body))

    async def _post(self, session: aiohttp.ClientSession, image: bytes) -> tuple[int, bytes, float]:
        try:
            async with session.post(self._url, data=image, allow_redirects=False) as answer:
                asked = answer.headers.get("Retry-After", "")
                wait_s = float(asked) if asked.isdecimal() else _WAIT_S
                return answer.status, await answer.read(), min(wait_s, _LONGEST_WAIT_S)
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = one_line(error) or "no answer in time"
            raise UnreachableError(f"{self._name}: {reason}\n  fix: start it with python -m jobs.serve") from error

    def _parsed(self, status: int, body: bytes) -> dict[str, Any]:
        if status in (401, 403):
            raise CredentialsError(
                f"{self._name}: refuses the token with status {status}\n  fix: give that of the endpoint's "
                "serve.token_file as replay.token_file"
            )
        if status == _TOO_LARGE:
            return {"stage": "request", "error": "too_large", "message": "the endpoint has a lower limit than the run"}
        if status not in (200, 422):
            raise UnreachableError(f"{self._name}: answers with status {status}: {body[:200].decode(errors='replace')}")
        try:
            content = json.loads(body)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise JobError(
                f"{self._name}: its answer is no row in JSON", fix="give the address of python -m jobs.serve"
            )
        return content


_BUSY, _TOO_LARGE = 503, 413
_WAIT_S, _LONGEST_WAIT_S = 1.0, 5.0
