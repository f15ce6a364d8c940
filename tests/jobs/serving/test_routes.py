from __future__ import annotations

from jobs.serving.config import Serve
from jobs.serving.ingress import Access, Ingress
from jobs.serving.routes import build_app


def test_the_routes_take_images_and_are_documented() -> None:
    paths = build_app(Ingress(Access(Serve(name="digits"), None))).openapi()["paths"]
    assert {"/predict", "/v2/models/digits/infer", "/v2/models/digits", "/v2/health/ready", "/metrics"} <= set(paths)
    assert "image/*" in paths["/predict"]["post"]["requestBody"]["content"]
    assert "parameters" not in paths["/predict"]["post"]
