"""The page /docs: sends images, and lists the routes of openapi.json. Runs in the ingress."""

from __future__ import annotations

import base64
import re
from functools import cache
from hashlib import sha256
from importlib.resources import files

from starlette.responses import HTMLResponse, Response


def docs_page() -> Response:
    """The page, which loads nothing from elsewhere: its policy lets the browser run its one script and ask its own
    server alone.
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
