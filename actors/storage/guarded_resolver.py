"""Resolves host names for `http_store`, and refuses addresses that the allowlist forbids."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp.abc import ResolveResult

    from actors.storage.allowlist import Allowlist


class GuardedResolver(AbstractResolver):
    """The system's resolver, with every result checked before connecting: a public name may resolve to a private
    address, or to a different one each time (DNS rebinding).

    Args:
        allow: allowlist; its hosts may have any address.
        proxies: hosts of proxies, which are not checked.
    """

    def __init__(self, allow: Allowlist, proxies: Collection[str]) -> None:
        self._allow = allow
        self._proxies = proxies
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises NotAllowedError if any of the addresses is forbidden."""
        found = await self._system.resolve(host, port, family)
        if host not in self._proxies:
            for address in found:  # all of them, since aiohttp may connect to any
                self._allow.check_address(host, address["host"])
        return found

    async def close(self) -> None:
        await self._system.close()
