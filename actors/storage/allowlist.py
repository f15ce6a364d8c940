"""Which URIs may be read where somebody else has named them: an allowlist of prefixes, and no private addresses behind
it. Used by `actors.storage.store` and `actors.storage.http_store`.
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
    """The allowlist does not name what was to be read. Nobody was asked whether it exists."""


@dataclass(frozen=True)
class Allowlist:
    """What may be read: everything that one of the prefixes names, at the border of a path segment.

    A local file counts as what it is once links are resolved. A URL must have the scheme, host and port of its prefix,
    and no ``..``, however it is encoded. ``https://`` alone allows every host, but none whose address is private,
    loopback or otherwise not global: such a host must be named itself.

    Args:
        folders: real paths of local folders and files.
        roots: of object stores and web servers.
    """

    folders: tuple[bytes, ...]
    roots: tuple[Root, ...]

    @classmethod
    def parse(cls, prefixes: Sequence[str]) -> Self:
        """The allowlist of URIs and local paths; a relative path is one of this process.

        Raises:
            JobError: a prefix can name nothing.
        """
        remote = [prefix for prefix in prefixes if is_remote(prefix)]
        local = [prefix for prefix in prefixes if not is_remote(prefix)]
        if not all(local):
            raise JobError("dataset.allow: a prefix is empty", cure="name a folder or a URI, or leave the key away")
        return cls(tuple(_real_path(absolute(prefix)) for prefix in local), tuple(map(_prefix, remote)))

    def real_path(self, uri: str) -> bytes:
        """The path behind a local ``uri``, without links, which is what is to be opened.

        Raises:
            NotAllowedError: no prefix names it.
        """
        path = _real_path(uri)
        if not any(_is_below(path, folder, b"/") for folder in self.folders):
            raise NotAllowedError(_NOT_NAMED)
        return path

    def check(self, uri: str) -> None:
        """Raises NotAllowedError for a remote ``uri`` that no prefix names, or that names a private address."""
        root = _root(uri)
        if root is None or not any(self._names(prefix, root) for prefix in self.roots):
            raise NotAllowedError(_NOT_NAMED)

    def check_address(self, host: str, address: str) -> None:
        """Raises NotAllowedError for an ``address`` that is not global, unless a prefix names its ``host``."""
        if not self._is_named(host) and not _is_global(address):
            raise NotAllowedError("the address of its host is not global, and dataset.allow does not name the host")

    def _names(self, prefix: Root, root: Root) -> bool:
        if prefix.host:
            return prefix[:3] == root[:3] and _is_below(root.path, prefix.path, "/")
        return prefix.scheme == root.scheme and (_is_global(root.host) or self._is_named(root.host))

    def _is_named(self, host: str) -> bool:
        return any(_name(prefix.host) == _name(host) for prefix in self.roots if prefix.port)


class Root(NamedTuple):
    """A remote URI, or a prefix of some."""

    scheme: str
    host: str
    """Or a bucket. An empty one is any host of the scheme."""
    port: str
    """Only web servers have one."""
    path: str
    """Starts with a slash."""


_NOT_NAMED = "dataset.allow does not name it"
_ANY_HOST = re.compile(r"https?://", re.IGNORECASE)
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_NAT64 = IPv6Network("64:ff9b::/96")
_MAX_DECODINGS = 8


def _prefix(prefix: str) -> Root:
    if _ANY_HOST.fullmatch(prefix):
        return Root(prefix.lower().removesuffix("://"), "", "", "/")
    root = None if is_http(prefix) and re.search("[?#]", prefix) else _root(prefix)
    if root is None or not root.host:
        raise JobError(
            f"dataset.allow={redacted(prefix)}: not a prefix of URIs",
            cure="write scheme, host or bucket, and folders, such as https://images.example/photos/ or s3://bucket/a/",
        )
    return root


def _root(uri: str) -> Root | None:
    """None for what is no URI, and for one with dots that lead to other folders."""
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
    """Whether dots lead out of a folder by anybody's reading: a server may decode more than once."""
    for _ in range(_MAX_DECODINGS):
        if not {".", ".."}.isdisjoint(segment.partition(";")[0] for segment in re.split(r"[/\\]", path)):
            return True
        decoded = unquote(path)
        if decoded == path:
            return False
        path = decoded
    return True


def _normal(path: str) -> str:
    """One spelling of a percent-encoded path (RFC 3986, 6.2.2)."""

    def spelt(found: re.Match[str]) -> str:
        character = chr(int(found[1], 16))
        return character if _UNRESERVED.fullmatch(character) else found[0].upper()

    return _ENCODED.sub(spelt, path)


def _is_below(path: AnyStr, prefix: AnyStr, slash: AnyStr) -> bool:
    return path == prefix or path.startswith(prefix.rstrip(slash) + slash)


def _real_path(uri: str) -> bytes:
    return os.path.realpath(local_path(uri))


def _name(host: str) -> str:
    """A host, without the brackets of an address."""
    return host.strip("[]").lower()


def _is_global(host: str) -> bool:
    """False for an address that is not, in any of its disguises; True for names, which `check_address` comes to."""
    try:
        address = ip_address(_name(host).partition("%")[0])
    except ValueError:
        return _name(host) not in {"localhost", "localhost."}
    return all(one.is_global and not one.is_multicast for one in [address, *_inside(address)])


def _inside(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 address that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return []
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    return [inner for inner in (address.ipv4_mapped, address.sixtofour) if inner is not None]
