"""Allowlist of prefixes for URIs that come from outside, which also keeps them away from private addresses. Used by
`actors.storage.store` and `actors.storage.http_store`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, AnyStr, NamedTuple, Self
from urllib.parse import unquote

from actors.errors import JobError
from actors.storage.http_request import Target
from actors.storage.uris import absolute, is_http, is_remote, local_path, redacted, split

if TYPE_CHECKING:
    from collections.abc import Sequence


class NotAllowedError(PermissionError):
    """The allowlist does not include the object. No request was sent for it."""


@dataclass(frozen=True)
class Allowlist:
    """Allows everything below one of the prefixes, by whole path segments.

    Resolves links before comparing local paths. A URL must have the scheme, host and port of its prefix, and no ``..``,
    however encoded. ``https://`` alone allows every host with a global address; a host with a private, loopback or
    otherwise non-global address must be listed itself.

    Args:
        folders: real paths of local folders and files.
        roots: prefixes on object stores and web servers.
    """

    folders: tuple[bytes, ...]
    roots: tuple[Root, ...]

    @classmethod
    def parse(cls, prefixes: Sequence[str]) -> Self:
        """Parses URIs and local paths; paths are relative to the working directory.

        Raises:
            JobError: a prefix is not valid.
        """
        remote = [prefix for prefix in prefixes if is_remote(prefix)]
        local = [prefix for prefix in prefixes if not is_remote(prefix)]
        if not all(local):
            raise JobError("dataset.allow: a prefix is empty", fix="give a folder or a URI, or omit the key")
        return cls(tuple(_real_path(absolute(prefix)) for prefix in local), tuple(map(_prefix, remote)))

    def real_path(self, uri: str) -> bytes:
        """Returns the path to open for a local ``uri``, with links resolved.

        Raises:
            NotAllowedError: no prefix matches.
        """
        path = _real_path(uri)
        if not any(_is_below(path, folder, b"/") for folder in self.folders):
            raise NotAllowedError(_NOT_NAMED)
        return path

    def check(self, uri: str) -> None:
        """Raises NotAllowedError if no prefix matches the remote ``uri``, or its host is a private address."""
        root = _root(uri)
        if root is None or not any(self._names(prefix, root) for prefix in self.roots):
            raise NotAllowedError(_NOT_NAMED)

    def check_address(self, host: str, address: str) -> None:
        """Raises NotAllowedError if ``address`` is not global, unless a prefix lists its ``host``."""
        if not self._is_named(host) and not _is_global(address):
            raise NotAllowedError("the address of its host is not global, and dataset.allow does not name the host")

    def _names(self, prefix: Root, root: Root) -> bool:
        if prefix.host:
            return prefix[:3] == root[:3] and _is_below(root.path, prefix.path, "/")
        return prefix.scheme == root.scheme and (_is_global(root.host) or self._is_named(root.host))

    def _is_named(self, host: str) -> bool:
        # Roots without a port are buckets, which may have the name of a host.
        return any(_name(prefix.host) == _name(host) for prefix in self.roots if prefix.port)


class Root(NamedTuple):
    """A remote URI, or a prefix."""

    scheme: str
    host: str
    """Host or bucket; empty for any host of the scheme."""
    port: str
    """Empty for object stores."""
    path: str
    """Starts with a slash."""


_NOT_NAMED = "dataset.allow does not name it"
_ANY_HOST = re.compile(r"https?://", re.IGNORECASE)
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")  # RFC 3986, 2.3: equal to their encoded forms
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_MAX_DECODINGS = 8  # more layers of percent-encoding are refused


def _prefix(prefix: str) -> Root:
    if _ANY_HOST.fullmatch(prefix):
        return Root(prefix.lower().removesuffix("://"), "", "", "/")
    root = None if is_http(prefix) and re.search("[?#]", prefix) else _root(prefix)
    if root is None or not root.host:
        raise JobError(
            f"dataset.allow={redacted(prefix)}: not a prefix of URIs",
            fix="give scheme, host or bucket, and folders, such as https://images.example/photos/ or s3://bucket/a/",
        )
    return root


def _root(uri: str) -> Root | None:
    """Parses a remote URI; returns None if it is not valid, or has dots that lead to other folders."""
    if is_http(uri):
        try:
            target = Target.parse(uri)
        except ValueError:
            return None
        scheme, host, port = target.origin
        path = "/" + target.url.partition("://")[2].partition("/")[2].partition("?")[0]
        return None if _leads_up(path) else Root(scheme, host, port, _normal(path))
    root, key = split(uri)
    scheme, _, host = root.partition("://")
    return None if _leads_up(key) else Root(scheme, host, "", f"/{key}")


def _leads_up(path: str) -> bool:
    """Returns True if dots may lead out of a folder. Servers may decode repeatedly, so all levels of encoding count."""
    # Servlet containers drop the rest of a segment after a semicolon; some servers treat a backslash as a slash.
    for _ in range(_MAX_DECODINGS):
        if not {".", ".."}.isdisjoint(segment.partition(";")[0] for segment in re.split(r"[/\\]", path)):
            return True
        decoded = unquote(path)
        if decoded == path:
            return False
        path = decoded
    return True


def _normal(path: str) -> str:
    """Normalises a percent-encoded path (RFC 3986, 6.2.2)."""

    def normalised(found: re.Match[str]) -> str:
        character = chr(int(found[1], 16))
        return character if _UNRESERVED.fullmatch(character) else found[0].upper()

    return _ENCODED.sub(normalised, path)


def _is_below(path: AnyStr, prefix: AnyStr, slash: AnyStr) -> bool:
    return path == prefix or path.startswith(prefix.rstrip(slash) + slash)  # /photos does not match /photos2


def _real_path(uri: str) -> bytes:
    return os.path.realpath(local_path(uri))


def _name(host: str) -> str:
    """Returns a host in lower case, without the brackets of an address."""
    return host.strip("[]").lower()


def _is_global(host: str) -> bool:
    """Returns True for global addresses and for host names, which `check_address` checks once they are resolved."""
    try:
        address = ip_address(_name(host).partition("%")[0])  # without the zone of a link-local address
    except ValueError:
        return _name(host) not in {"localhost", "localhost."}
    # Python treats multicast addresses as global, and 2002:7f00:1:: and 64:ff9b::7f00:1, which lead to 127.0.0.1.
    return all(one.is_global and not one.is_multicast for one in [address, *_embedded(address)])


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """Returns the IPv4 addresses embedded in an IPv6 address."""
    if isinstance(address, IPv4Address):
        return []
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    return [inner for inner in (address.ipv4_mapped, address.sixtofour) if inner is not None]
