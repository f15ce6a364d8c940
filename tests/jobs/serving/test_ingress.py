from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest
from starlette.requests import Request

from jobs.serving.bodies import RequestError
from jobs.serving.config import Serve
from jobs.serving.ingress import Access, Ingress

TOKEN = "0123456789abcdef"  # noqa: S105  of this test


def test_only_the_token_opens_and_probes_need_none() -> None:
    ingress = Ingress(Access(Serve(), sha256(TOKEN.encode()).digest()))
    statuses = [ingress.refusal("/predict", given) for given in ("", f"Basic {TOKEN}", "Bearer x", f"Bearer {TOKEN}")]
    assert statuses == [401, 401, 403, None]
    assert ingress.refusal("/v2/health/ready", "") is None
    assert Ingress(Access(Serve(), None)).refusal("/predict", "") is None


def test_a_body_that_does_not_end_is_given_up() -> None:
    async def receive() -> dict[str, object]:
        await asyncio.sleep(60)
        return {"type": "http.request"}

    async def ask() -> None:
        ingress = Ingress(Access(Serve(timeout_s=0.01), None))
        await ingress.predict(Request({"type": "http", "headers": []}, receive))

    with pytest.raises(RequestError) as error:
        asyncio.run(ask())
    assert error.value.status == 408
