"""The page /docs, which sends images and lists the routes in openapi.json. Runs in the ingress."""

from __future__ import annotations

import base64
import re
from functools import cache
from hashlib import sha256
from importlib.resources import files

from starlette.responses import HTMLResponse, Response


def docs_page() -> Response:
    """Returns the page. It loads nothing from other hosts: its policy allows only its own script, and requests only to
    its own server.
    """
    page, policy = _content()
    return HTMLResponse(page, headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"})


@cache
def _content() -> tuple[str, str]:
    page = files("jobs.serving").joinpath("docs_page.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    return page, (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
