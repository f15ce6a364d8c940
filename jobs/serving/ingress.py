"""The HTTP endpoint: checks requests, and answers with the model's rows for their images. Runs in a Ray Serve replica
without a GPU, which listens itself: Ray's proxy costs more CPU than all other processing of a request.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import uvicorn
from ray import serve as ray_serve
from starlette.datastructures import Headers
from starlette.requests import Request  # noqa: TC002  FastAPI evaluates the annotations of a route
from starlette.responses import JSONResponse, Response

from actors.errors import ImageError
from actors.reading.image_bytes import read_image
from actors.storage.allowlist import Allowlist
from actors.storage.retries import Retry
from actors.storage.store import Storage
from jobs.serving.bodies import RequestError, images_of, parse_json, read_body
from jobs.serving.counters import Counters
from jobs.serving.model_version import ModelVersion
from jobs.serving.protocol import encoded_images, infer_document
from jobs.serving.routes import build_app
from jobs.serving.rows import Row, is_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message, Receive, Scope, Send

    from actors.reading.image_bytes import Image
    from jobs.serving.config import Serve


@dataclass(frozen=True)
class Access:
    """The endpoint's config, and the token that it requires."""

    serve: Serve
    token_digest: bytes | None = field(repr=False)
    """SHA-256 of the bearer token; None if requests need none."""


class Ingress:
    """Answers requests with the latest version of the model that was rolled out. Listens once there is one."""

    def __init__(self, access: Access) -> None:
        self.serve = access.serve
        self.counters = Counters(process=str(os.getpid()))
        self._version: ModelVersion | None = None
        self._token_digest = access.token_digest
        allow = Allowlist.parse(self.serve.allow)
        self._storage = Storage(retry=Retry(attempts=2, timeout_s=_FETCH_S), allow=allow)
        self._server = uvicorn.Server(
            uvicorn.Config(
                Guard(self, build_app(self)),
                log_config=None,
                access_log=False,
                lifespan="off",
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=int(self.serve.timeout_s) + 1,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    @property
    def version(self) -> ModelVersion:
        """The version that currently answers requests."""
        if self._version is None:
            raise RequestError(503, "no model runs yet")
        return self._version

    async def reconfigure(self, config: dict[str, str]) -> None:
        """Adopts the newest running model, and starts listening. Ray Serve calls this when a replica starts."""
        applications = await asyncio.to_thread(lambda: ray_serve.status().applications)
        prefix = config["models"]
        await self.adopt(
            max(name for name, one in applications.items() if name.startswith(prefix) and one.status == _UP)
        )
        host = self.serve.host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, self.serve.port), family=family, backlog=_MOST_CONNECTIONS)
        self._serving = asyncio.create_task(self._server.serve([listener]))

    async def adopt(self, app: str) -> None:
        """Switches to the model of application ``app``, and returns once no request waits for an earlier model."""
        handle = ray_serve.get_deployment_handle(MODEL, app)
        version = ModelVersion(await handle.settings.remote(), self.serve, handle)
        earlier, self._version = self._version, version
        if earlier is not None:
            await earlier.finished()

    async def close(self) -> None:
        """Stops listening, and returns once all requests are answered."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving

    async def check_health(self) -> None:
        """Raises if the replica no longer listens; Ray Serve then replaces it."""
        if self._serving is not None and self._serving.done() and not self._server.should_exit:
            self._serving.result()

    async def predict(self, request: Request) -> Response:
        """Returns one row, or ``{"predictions": [...]}`` for JSON and for several images."""
        body = await self._body(request)
        content_type = request.headers.get("content-type", "")
        fetch = self._fetch if self.serve.allow else None
        arguments = (content_type, body, self.serve.max_images, fetch)
        # Parsing may be slow and runs in a thread; a body that is a single image needs none.
        is_parsed = content_type.lower().startswith(("application/json", "multipart/form-data"))
        found = await asyncio.to_thread(images_of, *arguments) if is_parsed else images_of(*arguments)
        rows = await self._rows(found.images)
        if len(rows) == 1 and is_error(rows[0]):
            return JSONResponse(rows[0], status_code=422)
        return JSONResponse({"predictions": rows} if found.is_list else rows[0])

    async def infer(self, request: Request) -> Response:
        """Returns an Open Inference Protocol response; 422 if any image failed, as a tensor cannot represent errors."""
        body, max_images = await self._body(request), self.serve.max_images
        document, images = await asyncio.to_thread(_parse_infer, body, max_images)
        fields = self.version.settings.fields
        rows = await self._rows(images)
        for number, row in enumerate(rows):
            if is_error(row):
                text = f"image {number}: {row['stage']}/{row['error']}: {row['message']}"
                return JSONResponse({"error": text, **row_details(row)}, status_code=422)
        return JSONResponse(infer_document(self.serve.name, document.get("id"), fields, rows))

    def refusal(self, path: str, authorization: str) -> int | None:
        """Returns the HTTP status for rejecting a request; None if the request carries the token or needs none."""
        if self._token_digest is None or path.startswith("/v2/health/"):
            return None
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return 401
        is_right = hmac.compare_digest(sha256(token.strip().encode()).digest(), self._token_digest)
        return None if is_right else 403

    async def _body(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(self.serve.timeout_s):
                return await read_body(request.stream(), self.serve.max_body_bytes)
        except TimeoutError:
            raise RequestError(408, "the body did not come within serve.timeout_s") from None

    async def _rows(self, images: Sequence[Image]) -> list[Row]:
        answers = await self.version.rows(images)
        for answer in answers:
            self.counters.add_answer(answer.batch_size, is_error=is_error(answer.row))
        return [answer.row for answer in answers]

    def _fetch(self, uri: str) -> Image:
        image = read_image(uri, storage=self._storage, max_bytes=self.version.settings.limits.max_bytes)
        if isinstance(image, ImageError):
            return ImageError(image.stage, image.kind, image.message.replace("dataset.allow", "serve.allow"))
        return image


class Guard:
    """ASGI application that rejects requests without the token, and counts all requests by response status."""

    def __init__(self, ingress: Ingress, app: Any) -> None:
        self._ingress = ingress
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._ingress.counters.add_request(message["status"])
            await send(message)

        if scope["type"] != "http":
            return
        refused = self._ingress.refusal(scope["path"], Headers(scope=scope).get("authorization", ""))
        await (_refusal(refused) if refused else self._app)(scope, receive, counted)


def row_details(row: Row) -> Row:
    """Returns stage, kind and message of an error row, under names that do not clash with the protocol's ``error``."""
    return {"stage": row["stage"], "kind": row["error"], "message": row["message"]}


def _parse_infer(body: bytes, max_images: int) -> tuple[dict[str, Any], list[Image]]:
    document = parse_json(body)
    return document, [*encoded_images(document, max_images)]


def _refusal(status: int) -> Response:
    text = "give the header Authorization: Bearer TOKEN" if status == 401 else "the token is wrong"  # noqa: PLR2004
    return JSONResponse({"error": text}, status_code=status, headers={"WWW-Authenticate": "Bearer"})


MODEL = "model"  # name of the deployment in each model's application
_MOST_CONNECTIONS = 1000
_FETCH_S = 10.0  # for the complete response of a web server
_UP = "RUNNING"
