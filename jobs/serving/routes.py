"""Routes of the endpoint, including its page /docs. Runs in the ingress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from jobs.serving.bodies import RequestError
from jobs.serving.docs_page import docs_page
from jobs.serving.protocol import model_document

if TYPE_CHECKING:
    from jobs.serving.ingress import Ingress


def build_app(ingress: Ingress) -> FastAPI:
    """Returns the application, without access control."""
    name = ingress.serve.name
    # FastAPI's own pages load scripts from the Internet.
    app = FastAPI(title=f"shardlens: {name}", version="2", docs_url=None, redoc_url=None)
    model = f"/v2/models/{name}"
    app.add_api_route("/predict", ingress.predict, methods=["POST"], openapi_extra=_PREDICT_BODY, response_model=None)
    app.add_api_route(f"{model}/infer", ingress.infer, methods=["POST"], openapi_extra=_INFER_BODY, response_model=None)
    app.add_exception_handler(RequestError, _refused)  # type: ignore[arg-type]
    app.add_exception_handler(TimeoutError, _late)

    @app.get("/v2")
    async def server() -> dict[str, Any]:
        return {"name": "shardlens", "version": "2", "extensions": []}

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    @app.get(f"{model}/ready")
    async def ready() -> Response:
        is_ready = await ingress.version.is_ready()
        return JSONResponse({"name": name, "ready": is_ready}, status_code=200 if is_ready else 503)

    @app.get(model)
    async def metadata() -> dict[str, Any]:
        return model_document(name, ingress.version.settings.fields)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return docs_page()

    @app.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse(ingress.counters.text())

    return app


async def _refused(_: Request, error: RequestError) -> Response:
    headers = {"Retry-After": "1"} if error.status == 503 else None  # noqa: PLR2004
    return JSONResponse({"error": error.message}, status_code=error.status, headers=headers)


async def _late(_: Request, error: Exception) -> Response:  # noqa: ARG001  the signature of a handler
    return JSONResponse({"error": "no answer within serve.timeout_s"}, status_code=504)


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
