"""Request targets of URLs, and HTTP client settings. Used by `actors.storage.http_store`."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import quote, unquote_to_bytes, urlsplit
from urllib.request import getproxies, proxy_bypass

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Target(NamedTuple):
    """A URL without fragment, user and password; ``headers`` contain the last two."""

    url: str
    origin: tuple[str, str, str]
    """Scheme, host and port, to which credentials in a URL are bound."""
    headers: Mapping[str, str]

    @property
    def is_secure(self) -> bool:
        return self.origin[0] == "https"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parses ``url``. Path and query stay as written; characters not allowed in a request are percent-encoded.

        Raises:
            ValueError: it is not an http URL with a host.
        """
        found = _URL.fullmatch(url)
        if found is None:
            raise ValueError("not an http or https URL with a host")
        scheme, user, host, port, rest = found.groups()
        scheme, host = scheme.lower(), _ascii(host)
        path = rest if rest.startswith("/") else f"/{rest}"
        path = quote(path.encode("utf-8", "surrogateescape"), safe=_AS_WRITTEN)
        headers = {} if user is None else {"Authorization": f"Basic {_basic(user)}"}
        return cls(f"{scheme}://{host}{port or ''}{path}", (scheme, host, port or _PORTS[scheme]), headers)


@dataclass(frozen=True)
class ClientOptions:
    """The connection settings among ``storage_options``, under obstore's names."""

    timeout_s: float | None
    connect_s: float
    read_s: float
    user_agent: str
    proxy_url: str | None
    verify: bool
    root_certificate: str | None

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> Self:
        """Parses the settings. Raises `JobError` if a time is not valid."""
        return cls(
            timeout_s=_seconds(options, "timeout") if "timeout" in options else None,
            connect_s=_seconds(options, "connect_timeout", "30s"),
            read_s=_seconds(options, "read_timeout", "30s"),
            user_agent=options.get("user_agent", "shardlens"),
            proxy_url=options.get("proxy_url"),
            verify=str(options.get("allow_invalid_certificates", "false")).lower() != "true",
            root_certificate=options.get("root_certificate"),
        )

    def tls(self) -> ssl.SSLContext | bool:
        """Returns the certificate check, against the system's authorities and ``root_certificate``; False for none."""
        if not self.verify:
            return False
        context = ssl.create_default_context()
        if self.root_certificate:
            context.load_verify_locations(cadata=self.root_certificate)
        return context

    def proxy(self, target: Target) -> str | None:
        """Returns the proxy for ``target``, from the options or else the environment; None for no proxy."""
        if self.proxy_url:
            return self.proxy_url
        scheme, host, _ = target.origin
        proxies = getproxies()
        proxy = proxies.get(scheme) or proxies.get("all")
        return None if proxy is None or proxy_bypass(host) else proxy

    def proxy_hosts(self) -> set[str]:
        """Returns the hosts of all proxies that `proxy` may return."""
        proxies = [self.proxy_url] if self.proxy_url else getproxies().values()
        return {urlsplit(proxy).hostname or "" for proxy in proxies}


_URL = re.compile(
    r"(https?)://(?:([^/?#]*)@)?(\[[0-9a-f:.]+\]|[^/?#:@\s\[\]]+)(:\d+)?((?:[/?][^#]*)?)(?:#.*)?",
    re.IGNORECASE | re.DOTALL,
)
_PORTS = {"http": ":80", "https": ":443"}
# All printable ASCII, including the percent sign: signatures cover the spelling of a URL.
_AS_WRITTEN = "".join(chr(code) for code in range(0x21, 0x7F))
_TIME = re.compile(r"([0-9.]+) ?(ms|s|m|h|)")
# Seconds in each unit; a number alone means seconds.
_UNITS = {"ms": 1e-3, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


def _ascii(host: str) -> str:
    return host.lower() if host.isascii() else host.encode("idna").decode()


def _basic(user: str) -> str:
    name, _, password = user.partition(":")
    # Percent-encoded in a URL, but not in the header (RFC 7617).
    return b64encode(unquote_to_bytes(name) + b":" + unquote_to_bytes(password)).decode()


def _seconds(options: Mapping[str, str], name: str, default: str = "") -> float:
    value = str(options.get(name, default))
    found = _TIME.fullmatch(value)
    try:
        return float(found[1]) * _UNITS[found[2]] if found else float("")
    except ValueError:
        raise JobError(f"storage_options.{name}={value}: not a time", fix="write it as 30s or 5m") from None
