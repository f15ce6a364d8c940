"""Serves a run: its report, the table of its images, and their pictures. Runs on the driver."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from jobs.browsing.gate import Gate
from jobs.browsing.query import Query, QueryError
from jobs.browsing.table_page import make_image_page, make_table_page

if TYPE_CHECKING:
    from starlette.requests import Request

    from actors.outputs import PublishedRun
    from jobs.browsing.image_table import FoundImage, ImageTable
    from jobs.browsing.pictures import Pictures
    from jobs.pages.picked_rows import Place


@dataclass(frozen=True)
class Browser:
    """Handles requests. Starlette calls its methods in threads."""

    run: PublishedRun
    table: ImageTable
    pictures: Pictures
    report_html: bytes

    def app(self, token: str, port: int) -> Gate:
        """Returns the ASGI application behind its gate."""
        routes = {
            "/": self.images,
            "/image/{shard:int}/{row:int}": self.image,
            "/picture/{shard:int}/{row:int}": self.picture,
            "/report": self.report,
            "/page.css": self.style,
        }
        found = Starlette(
            routes=[Route(path, answer, methods=["GET"]) for path, answer in routes.items()],
            exception_handlers={QueryError: _wrong_query},
        )
        found.router.redirect_slashes = False
        return Gate(found, token, port)

    def images(self, request: Request) -> Response:
        names = [column.name for column in self.table.columns]
        query = Query.parse(request.query_params.multi_items(), names)
        page = self.table.page(query)
        if query.page > 1 and not page.images:
            raise QueryError(f"page: the last one is {max(1, math.ceil(page.number / query.size))}")
        return HTMLResponse(make_table_page(self.run, self.table, query, page))

    def image(self, request: Request) -> Response:
        image, place = self._image(request)
        return HTMLResponse(make_image_page(self.run, self.table, image, self.pictures.get(image.identity, place)))

    def picture(self, request: Request) -> Response:
        image, place = self._image(request)
        picture = self.pictures.get(image.identity, place)
        kind = "image/webp" if picture.webp else "image/svg+xml"
        return Response(
            picture.webp or _NO_PICTURE, media_type=kind, headers={"cache-control": "private, max-age=3600"}
        )

    def report(self, request: Request) -> Response:  # noqa: ARG002
        return HTMLResponse(self.report_html, headers={"content-security-policy": _REPORT_POLICY})

    def style(self, request: Request) -> Response:  # noqa: ARG002
        return Response(_style(), media_type="text/css")

    def _image(self, request: Request) -> tuple[FoundImage, Place]:
        shard, row = request.path_params["shard"], request.path_params["row"]
        found = self.table.image((shard, row)) if max(shard, row) <= _MAX_INT32 else None
        if found is None:
            raise HTTPException(404, "there is no such image")
        return found


def make_server(app: Gate) -> uvicorn.Server:
    """Returns a single-process server that accepts requests from the caller's sockets."""
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # addresses contain the token
        server_header=False,
        proxy_headers=False,
        http="h11",
        ws="none",
        lifespan="off",
        limit_concurrency=_MAX_REQUESTS,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(settings)


_MAX_REQUESTS = 100  # concurrent; a browser has six connections
_MAX_HEADER_BYTES = 32 << 10
_MAX_INT32 = (1 << 31) - 1
# The file is in the output, where others may write, so it does not get our origin.
_REPORT_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_NO_PICTURE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" fill="#8886"/>'
    b'<path d="M16 16l32 32M48 16L16 48" stroke="#888" stroke-width="3"/></svg>'
)


def _wrong_query(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return PlainTextResponse(f"{error}\n", 400)


@cache
def _style() -> str:
    folder = files("jobs.pages") / "templates"
    return "".join((folder / name).read_text("utf-8") for name in ("page.css", "browse.css"))
