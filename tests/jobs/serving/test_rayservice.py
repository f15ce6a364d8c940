"""The application as Ray Serve and KubeRay load it: from `serveConfigV2`, by its import path."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from digit_images import encoded
from head import end
from manifests import K8S

from actors.errors import JobError
from jobs.serving.rayservice import build

TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105  that of the test's own server


def predict(url: str, token: str) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(url, encoded()[0], {"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, {}
    except OSError:
        return 0, {}


@pytest.mark.cluster
def test_ray_serve_loads_the_config_of_the_rayservice(tmp_path: Path) -> None:
    rayservice = yaml.safe_load((K8S / "components/endpoint/service/rayservice.yaml").read_text())
    config = yaml.safe_load(rayservice["spec"]["serveConfigV2"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        config["http_options"] |= {"host": "127.0.0.1", "port": server.getsockname()[1]}
    overrides = config["applications"][0]["args"]["overrides"]
    kept = [one for one in overrides if one.partition("=")[0] in ("model", "serve.max_replicas")]
    config["applications"][0]["args"]["overrides"] = [*kept, "engine=torch", f"serve.token_file={tmp_path}/token"]
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "ray.serve.scripts", "run", "--address", "local", str(tmp_path / "config.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(K8S.parent), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        url = f"http://127.0.0.1:{config['http_options']['port']}/predict"
        deadline = time.monotonic() + 150
        while (answer := predict(url, TOKEN))[0] != 200 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.5)
        assert answer[0] == 200, (tmp_path / "log").read_text(encoding="utf-8")
        assert answer[1]["label"] == "0"
        assert predict(url, "wrong" * 8)[0] == 403
    finally:
        end(process)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({"overrides": ["model=digits"]}, "serve.token_file"),
        ({"overides": ["model=digits"]}, "overides"),
        ({"overrides": ["model=digits", "serve.batch_size=0"]}, "serve.batch_size=0"),
    ],
)
def test_a_wrong_application_is_refused(args: dict[str, object], named: str) -> None:
    with pytest.raises(JobError, match=named):
        build(args)
