from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from actors.storage.allowlist import Allowlist, NotAllowedError
from actors.storage.guarded_resolver import GuardedResolver


def resolve(host: str, allow: Collection[str], proxies: Collection[str] = ()) -> set[str]:
    async def ask() -> set[str]:
        return {found["host"] for found in await GuardedResolver(Allowlist.parse(list(allow)), proxies).resolve(host)}

    return asyncio.run(ask())


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001"])
def test_a_name_that_leads_to_a_private_address(host: str) -> None:
    with pytest.raises(NotAllowedError, match="not global"):
        resolve(host, ["http://", f"http://other.{host}/"])
    assert resolve(host, [f"http://{host.upper()}:8080/photos"]) == {"127.0.0.1"}
    assert resolve(host, ["http://"], proxies={host}) == {"127.0.0.1"}


def test_a_name_that_leads_to_a_global_address() -> None:
    assert resolve("93.184.216.34", ["https://"]) == {"93.184.216.34"}
