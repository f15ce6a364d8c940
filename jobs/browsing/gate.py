"""Admits only requests of the user who started the server, and sets security headers on responses."""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy of all pages without their own: no scripts, and no third-party content."""
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::[0-9]{1,5})?", re.ASCII)


class Gate:
    """An ASGI application around ``app``, which receives only GET and HEAD requests that have the token.

    The token is in the address of the first request, and in a cookie from then on. A request with another host name is
    rejected: a foreign page whose name resolves to 127.0.0.1 would pass for one of ours.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app = app
        self._token = token
        self._digest = sha256(token.encode()).digest()
        self._cookie = f"shardlens-{port}"  # browsers share cookies among all ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> PlainTextResponse | RedirectResponse | None:
        """Returns the response to a request that must not reach the application."""
        headers = Headers(scope=scope)
        if not _HOST.fullmatch(headers.get("host", "")) or len(headers.getlist("host")) != 1:
            return PlainTextResponse("the name of this server is 127.0.0.1\n", 421)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("only GET\n", 405, {"allow": "GET, HEAD"})
        given = [value for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name == "token"]
        if given and scope["path"] == "/":
            return self._entered() if self._is_right(given[0]) else _refused()
        cookie = _cookies(headers.get("cookie", "")).get(self._cookie, "")
        return None if self._is_right(cookie) else _refused()

    def _entered(self) -> RedirectResponse:
        """Redirects to the same page without the token in the address, which browser histories keep."""
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return answer

    def _is_right(self, token: str) -> bool:
        return hmac.compare_digest(sha256(token.encode("utf-8", "replace")).digest(), self._digest)


def _refused() -> PlainTextResponse:
    return PlainTextResponse("open the whole address that jobs.browse printed, with its token\n", 403)


def _cookies(text: str) -> dict[str, str]:
    try:
        return {name: cookie.value for name, cookie in SimpleCookie(text).items()}
    except CookieError:
        return {}


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Any = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped
