from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from browsed import browsed_run

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def started(*overrides: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs.browse", *overrides]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_on_loopback_until_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    run = browsed_run(tmp_path, num_photos=3)
    Path(run.paths.page).write_text("the report")
    with started("output.path=out", cwd=tmp_path) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        host, _, target = address.removeprefix("http://").partition("/")
        assert host.startswith("127.0.0.1:")
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.request("GET", f"/{target}")
        answer = connection.getresponse()
        answer.read()
        cookie = answer.headers["set-cookie"].partition(";")[0]
        for path, content in (("/", b"10 images"), ("/report", b"the report")):
            connection.request("GET", path, headers={"Cookie": cookie})
            assert content in connection.getresponse().read()
        connection.close()
        process.send_signal(number)
        left, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert left == ""
    assert target.partition("=")[2] not in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_wrong_commands(tmp_path: Path) -> None:
    browsed_run(tmp_path, num_photos=1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for overrides, said in [
            ([f"browse.port={port}", "output.path=out"], f"browse.port={port}: "),
            (["output.path=out", "run.id=x"], "run.id=x: there is no such run"),
            (["output.path=nowhere"], "there are no runs below it"),
            (["output.path=out", "browse.host=0.0.0.0"], "browse.host"),
        ]:
            with started(*overrides, cwd=tmp_path) as process:
                printed, told = process.communicate(timeout=60)
            assert process.returncode == 2, told
            assert said in told
            assert printed == ""
