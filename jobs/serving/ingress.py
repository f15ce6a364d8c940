"""The HTTP endpoint: checks, decodes and fits images, sends each to the model, and answers with its row. Runs in a Ray
Serve replica without a GPU.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from actors.columns import ERROR, HEIGHT, MESSAGE, STAGE, WIDTH
from actors.decoding.pixel_blocks import decode_batch
from actors.errors import ImageError
from actors.reading.image_bytes import checked, read_image
from actors.storage.allowlist import Allowlist
from actors.storage.retries import Retry
from actors.storage.store import Storage
from jobs.serving.bodies import RequestError, images_of, parse_json, read_body
from jobs.serving.counters import Counters
from jobs.serving.deployment import FittedPixels
from jobs.serving.docs_page import docs_page
from jobs.serving.protocol import encoded_images, infer_document, model_document
from jobs.serving.rows import Row, error_row, is_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import pyarrow as pa
    from ray.serve.handle import DeploymentHandle

    from actors.decoding.config import Decode
    from actors.preprocess import Preprocess
    from actors.reading.image_bytes import Image
    from jobs.serving.config import Serve


@dataclass(frozen=True)
class Settings:
    """Everything that the ingress needs to know."""

    serve: Serve
    limits: Decode
    preprocess: Preprocess
    fields: Sequence[pa.Field]
    """The task's columns."""
    token_digest: bytes | None = field(repr=False)
    """SHA-256 of the bearer token; None if requests need none."""


class Ingress:
    """Answers requests. Decodes in threads, and at most one image per CPU at a time."""

    def __init__(self, model: DeploymentHandle[Any], settings: Settings) -> None:
        self.settings = settings
        self.counters = Counters()
        self._model = model
        self._decoding = asyncio.Semaphore(os.cpu_count() or 1)
        allow = Allowlist.parse(settings.serve.allow)
        self._storage = Storage(retry=Retry(attempts=2, timeout_s=_FETCH_S), allow=allow)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_app(self)

    async def predict(self, request: Request) -> Response:
        """One row, or ``{"predictions": [...]}`` for JSON and for several images."""
        serve = self.settings.serve
        body = await read_body(request.stream(), serve.max_body_bytes)
        fetch = self._fetch if serve.allow else None
        content_type = request.headers.get("content-type", "")
        found = await asyncio.to_thread(images_of, content_type, body, serve.max_images, fetch)
        rows = await self._rows(found.images)
        if len(rows) == 1 and is_error(rows[0]):
            return JSONResponse(rows[0], status_code=422)
        return JSONResponse({"predictions": rows} if found.is_list else rows[0])

    async def infer(self, request: Request) -> Response:
        """The answer of the Open Inference Protocol; 422 if any image failed, since a tensor has no place for that."""
        serve = self.settings.serve
        document = parse_json(await read_body(request.stream(), serve.max_body_bytes))
        rows = await self._rows([*encoded_images(document, serve.max_images)])
        for number, row in enumerate(rows):
            if is_error(row):
                text = f"image {number}: {row['stage']}/{row['error']}: {row['message']}"
                return JSONResponse({"error": text, **row_details(row)}, status_code=422)
        return JSONResponse(infer_document(serve.name, document.get("id"), self.settings.fields, rows))

    async def is_ready(self) -> bool:
        try:
            return bool(await asyncio.wait_for(self._model.is_ready.remote(), _READY_S))
        except Exception:  # noqa: BLE001  not ready, for whatever reason
            return False

    def may_enter(self, request: Request) -> int | None:
        """The HTTP status that refuses the request; None if it carries the token, or needs none."""
        if self.settings.token_digest is None or request.url.path.startswith("/v2/health/"):
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return 401
        is_right = hmac.compare_digest(sha256(token.strip().encode()).digest(), self.settings.token_digest)
        return None if is_right else 403

    async def _rows(self, images: Sequence[Image]) -> list[Row]:
        """One row per image. Raises what the model raises for an image, once all others have ended."""
        answers = asyncio.gather(*(self._row(image) for image in images), return_exceptions=True)
        rows: list[Row] = []
        for answer in await asyncio.wait_for(answers, self.settings.serve.timeout_s):
            if isinstance(answer, BaseException):
                raise answer
            rows.append(answer)
        return rows

    async def _row(self, image: Image) -> Row:
        async with self._decoding:
            fitted = await asyncio.to_thread(fit_image, image, self.settings.limits, self.settings.preprocess)
        if isinstance(fitted, ImageError):
            self.counters.add_error()
            return error_row(fitted)
        try:
            row, batch_size = await self._model.predict.remote(fitted)
        # Here, because Ray Serve answers a BackPressureError that leaves a route itself, without Retry-After.
        except (BackPressureError, DeploymentUnavailableError, RayActorError):
            raise RequestError(503, "too busy: try again") from None
        if is_error(row):
            self.counters.add_error()
        else:
            self.counters.add_image(batch_size)
        return dict(row)

    def _fetch(self, uri: str) -> Image:
        image = read_image(uri, storage=self._storage, max_bytes=self.settings.limits.max_bytes)
        if isinstance(image, ImageError):
            return ImageError(image.stage, image.kind, image.message.replace("dataset.allow", "serve.allow"))
        return image


def fit_image(image: Image, limits: Decode, preprocess: Preprocess) -> FittedPixels | ImageError:
    """Decodes an image under the same guard and limits as one of a job."""
    if isinstance(image, bytes):
        image = checked(image, limits.max_bytes)
    pixels, columns = decode_batch([image], limits, preprocess)
    stage, kind, message, height, width = (columns[name][0].as_py() for name in (STAGE, ERROR, MESSAGE, HEIGHT, WIDTH))
    if stage is not None:
        return ImageError(stage, kind, message)
    return FittedPixels(np.asarray(pixels)[0], (height, width))


def build_app(ingress: Ingress) -> FastAPI:
    """The routes of the endpoint, and its page /docs."""
    # FastAPI's own pages load scripts from the Internet.
    app = FastAPI(title=f"shardlens: {ingress.settings.serve.name}", version="2", docs_url=None, redoc_url=None)
    name = ingress.settings.serve.name
    model = f"/v2/models/{name}"
    app.add_api_route("/predict", ingress.predict, methods=["POST"], openapi_extra=_PREDICT_BODY)
    app.add_api_route(f"{model}/infer", ingress.infer, methods=["POST"], openapi_extra=_INFER_BODY)

    @app.get("/v2")
    async def server() -> dict[str, Any]:
        return {"name": "shardlens", "version": "2", "extensions": []}

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    @app.get(f"{model}/ready")
    async def ready() -> Response:
        is_ready = await ingress.is_ready()
        return JSONResponse({"name": name, "ready": is_ready}, status_code=200 if is_ready else 503)

    @app.get(model)
    async def metadata() -> dict[str, Any]:
        return model_document(name, ingress.settings.fields)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return docs_page()

    @app.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse(ingress.counters.text())

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = ingress.may_enter(request)
        response = _refusal(refused) if refused else await _answer(call_next, request)
        ingress.counters.add_request(response.status_code)
        return response

    return app


def row_details(row: Row) -> Row:
    """Stage, kind and message of an error row, under names that do not clash with the protocol's ``error``."""
    return {"stage": row["stage"], "kind": row["error"], "message": row["message"]}


async def _answer(call_next: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    try:
        return await call_next(request)
    except RequestError as error:
        headers = {"Retry-After": "1"} if error.status == 503 else None  # noqa: PLR2004
        return JSONResponse({"error": error.message}, status_code=error.status, headers=headers)
    except TimeoutError:
        return JSONResponse({"error": "no answer within serve.timeout_s"}, status_code=504)


def _refusal(status: int) -> Response:
    text = "give the header Authorization: Bearer TOKEN" if status == 401 else "the token is wrong"  # noqa: PLR2004
    return JSONResponse({"error": text}, status_code=status, headers={"WWW-Authenticate": "Bearer"})


_FETCH_S = 10.0  # for the whole answer of a web server
_READY_S = 5.0  # a replica answers between two batches
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PREDICT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": _BINARY,
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "array", "items": _BINARY["schema"]}}}
            },
            "application/json": {"example": {"instances": [{"b64": "..."}]}},
        },
    }
}
_INFER_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "example": {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["..."]}]}
            }
        },
    }
}
