"""One real endpoint in its own process, queried through every route."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from digit_images import DIGITS, encoded
from odd_images import bad_images
from prometheus_client.parser import text_string_to_metric_families
from served import serving

from actors.predictor import Predictor
from actors.recipe import Recipe

pytestmark = pytest.mark.cluster
TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105  that of the test's own server
MAX_BODY_BYTES = 100_000


class Reply(NamedTuple):
    status: int
    content: Any
    headers: dict[str, str]


class Endpoint(NamedTuple):
    url: str
    folder: Path
    """Folder of the images that requests may name."""
    process: subprocess.Popen[str]

    def ask(self, route: str, body: bytes | None = None, kind: str = "image/png", token: str = TOKEN) -> Reply:
        headers = {"Content-Type": kind, **({"Authorization": f"Bearer {token}"} if token else {})}
        request = urllib.request.Request(self.url + route, body, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                status, text, got = answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            status, text, got = error.code, error.read(), dict(error.headers)
        is_json = got.get("content-type", "").startswith("application/json")
        return Reply(status, json.loads(text) if is_json else text.decode(), got)

    def processes(self) -> set[int]:
        """Returns the process ids of the endpoint's replicas."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return {one.pid for one in children if "ServeReplica" in " ".join(one.cmdline())}

    def post(self, route: str, document: object) -> Reply:
        return self.ask(route, json.dumps(document).encode(), "application/json")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    allowed = folder / "allowed"
    allowed.mkdir()
    for number, image in enumerate(encoded()[:2]):
        (allowed / f"{number}.png").write_bytes(image)
    overrides = [
        "model=digits", "engine=torch", "serve.name=digits", f"serve.token_file={folder}/token",
        f"serve.allow=[{allowed}]", f"serve.max_body_bytes={MAX_BODY_BYTES}", "serve.batch_wait_s=0.05",
        "serve.max_images=20",
    ]  # fmt: skip
    with serving(folder, *overrides) as served:
        yield Endpoint(served.url, allowed, served.process)
    assert TOKEN not in served.log.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def expected() -> list[dict[str, Any]]:
    """The rows of the first images, as a Python caller receives them."""
    table = Predictor(Recipe(DIGITS)).predict(encoded()[:12])
    return [{"label_id": row["label_id"], "score": row["score"]} for row in table.to_pylist()]


def hold(rows: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [row["label_id"] for row in rows] == [row["label_id"] for row in expected[: len(rows)]]
    assert [row["score"] for row in rows] == pytest.approx([row["score"] for row in expected[: len(rows)]], abs=1e-6)


def b64(image: bytes) -> str:
    return base64.b64encode(image).decode()


def form(*files: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    return b"".join(head + file + b"\r\n" for file in files) + b"--x--\r\n"


def test_every_route_gives_the_rows_of_a_predictor(endpoint: Endpoint, expected: list[dict[str, Any]]) -> None:
    one, *_ = images = encoded()[:3]
    multipart = "multipart/form-data; boundary=x"
    hold([endpoint.ask("/predict", one).content], expected)
    hold([endpoint.ask("/predict", form(one), multipart).content], expected)
    hold(endpoint.ask("/predict", form(*images), multipart).content["predictions"], expected)
    instances = [{"b64": b64(image)} for image in images]
    hold(endpoint.post("/predict", {"instances": instances}).content["predictions"], expected)
    named = [{"uri": str(endpoint.folder / f"{number}.png")} for number in (0, 1)]
    hold(endpoint.post("/predict", {"instances": named}).content["predictions"], expected)
    tensor = {"name": "image", "shape": [3], "datatype": "BYTES", "data": [b64(image) for image in images]}
    answer = endpoint.post("/v2/models/digits/infer", {"id": "7", "inputs": [tensor]})
    columns = {output["name"]: output["data"] for output in answer.content["outputs"]}
    hold([{"label_id": i, "score": s} for i, s in zip(columns["label_id"], columns["score"], strict=True)], expected)
    assert answer.content["id"] == "7"


def test_images_that_arrive_together_are_predicted_together(endpoint: Endpoint, expected: list[dict[str, Any]]) -> None:
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda image: endpoint.ask("/predict", image), encoded()[:12]))
    hold([reply.content for reply in replies], expected)
    families = text_string_to_metric_families(endpoint.ask("/metrics").content)
    values = {sample.name: sample.value for family in families for sample in family.samples}
    assert values["shardlens_serve_largest_batch"] > 1


def test_a_bad_image_is_named_and_spares_the_others(endpoint: Endpoint, expected: list[dict[str, Any]]) -> None:
    alone = endpoint.ask("/predict", b"no image")
    assert (alone.status, alone.content["stage"], alone.content["error"]) == (422, "decode", "unidentified")
    both = endpoint.post("/predict", {"instances": [{"b64": b64(encoded()[0])}, {"b64": b64(b"no image")}]})
    good, bad = both.content["predictions"]
    assert both.status == 200
    assert bad == alone.content
    hold([good], expected)
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [b64(b"no image")]}
    refused = endpoint.post("/v2/models/digits/infer", {"inputs": [tensor]})
    assert (refused.status, refused.content["stage"]) == (422, "decode")


def test_damaged_and_hostile_bodies_are_refused_and_do_no_harm(endpoint: Endpoint) -> None:
    """Sends at least 200: each is answered with 4xx, none ends a process, and good images are answered as before."""
    image = encoded()[0]
    damaged = [image[: len(image) * part // 60] for part in range(45)]
    damaged += [data for data, _ in bad_images().values() if len(data) < MAX_BODY_BYTES // 2]
    multipart = "multipart/form-data; boundary=x"
    bodies = [
        *((data, "image/png") for data in damaged),
        *((form(data), multipart) for data in damaged),
        *((json.dumps({"instances": [{"b64": b64(data)}]}).encode(), "application/json") for data in damaged),
        *((data, multipart) for data in (b"--x", b"--x--", b"\r\n--x\r\n--x--", form(image)[:-5], b"--y\r\n" + image)),
        *((form(image), kind) for kind in ("multipart/form-data", "multipart/form-data; boundary=")),
        *((data, "application/json") for data in (b"", b"[" * 90_000, b"{}", b"null", b'"', b"\xff\xfe", b"1e999")),
        *((json.dumps({"instances": given}).encode(), "application/json") for given in _HOSTILE_INSTANCES),
        (json.dumps({"instances": [{"uri": f"{endpoint.folder}/../token"}]}).encode(), "application/json"),
        (b"\xff" * 5000, "image/jpeg"),
    ]
    assert len(bodies) >= 200
    before = endpoint.processes()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda given: endpoint.ask("/predict", *given), bodies))
    assert [
        (reply, body[:40]) for reply, body in zip(replies, bodies, strict=True) if not 400 <= reply.status < 500
    ] == []
    assert endpoint.processes() == before
    assert endpoint.ask("/predict", image).status == 200


_HOSTILE_INSTANCES: list[Any] = [
    None, 1, "x", {}, [], [None], [[]], [{}], [{"b64": 1}], [{"b64": None}], [{"b64": "%"}], [{"b64": ""}],
    [{"b64": "AAAA", "uri": "x"}], [{"uri": 1}], [{"uri": ""}], [{"uri": "\x00"}], [{"uri": "http://169.254.169.254/"}],
    [{"uri": "file:///etc/hostname"}], [{"uri": "/etc/hostname"}], [{"uri": "s3://x/y"}], [{"uri": "~/x"}],
]  # fmt: skip


def test_too_much_is_refused(endpoint: Endpoint) -> None:
    assert endpoint.ask("/predict", b"x" * (MAX_BODY_BYTES + 1)).status == 413
    assert endpoint.post("/predict", {"instances": [{"b64": ""}] * 21}).status == 413


def test_a_body_of_no_announced_length_is_bounded_too(endpoint: Endpoint) -> None:
    host, port = endpoint.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = (
            f"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode())
        for _ in range(3):
            connection.sendall(b"c350\r\n" + b"x" * 50_000 + b"\r\n")
        assert b" 413 " in connection.recv(100)


def test_only_the_token_opens(endpoint: Endpoint) -> None:
    assert endpoint.ask("/predict", encoded()[0], token="").status == 401
    assert endpoint.ask("/predict", encoded()[0], token="wrong" * 8).status == 403
    for route in ("/metrics", "/docs", "/v2/models/digits"):
        assert endpoint.ask(route, token="").status == 401
    assert endpoint.ask("/v2/health/live", token="").status == 200


def test_the_model_is_described(endpoint: Endpoint) -> None:
    assert endpoint.ask("/v2/models/digits").content["inputs"][0]["datatype"] == "BYTES"
    assert endpoint.ask("/v2/models/digits/ready").status == 200
    assert endpoint.ask("/v2/models/other").status == 404
    assert "swagger" in endpoint.ask("/docs").content
    assert {"/predict", "/v2/models/digits/infer"} <= set(endpoint.ask("/openapi.json").content["paths"])


def test_a_wrong_job_says_so_before_anything_listens() -> None:
    command = [sys.executable, "-m", "jobs.serve", "model=digits", "serve.host=0.0.0.0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ})
    assert ended.returncode == 2
    assert "serve.token_file=FILE" in ended.stderr
