"""The fork server with a script that stands for Ray's, and with Ray itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from forked import ask

from jobs.cluster.fork_client import SCRIPT, SOCKET
from jobs.cluster.fork_server import IS_SUPPORTED, ForkServer

pytestmark = pytest.mark.skipif(not IS_SUPPORTED, reason="needs Linux")


def wait_for(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_worker_is_forked_with_the_arguments_and_environment_of_its_client(
    server: ForkServer, tmp_path: Path
) -> None:
    process = server._process
    facts = ask(tmp_path, "--node-id=a b", "--runtime-env-hash=0", A_VARIABLE="x\ny")
    assert facts.pop("random") != ask(tmp_path, "--runtime-env-hash=0")["random"]
    assert facts == {
        "arguments": ["--node-id=a b", "--runtime-env-hash=0"],
        "folder": str(tmp_path),
        "variable": "x\ny",
        "parent": process.pid,
        "is_shared": True,
        "has_colorsys": False,
        "main": str(tmp_path / "worker.py"),
        "num_threads": 1,
        "leads_group": True,
        "reaps": True,
    }
    server.preload("colorsys")
    wait_for(lambda: ask(tmp_path, "--runtime-env-hash=0")["has_colorsys"])
    wait_for(lambda: not psutil.Process(process.pid).children())
    assert os.getpgid(process.pid) != os.getpgrp()
    assert oct(Path(os.environ[SOCKET]).parent.stat().st_mode)[-3:] == "700"


def test_a_broken_request_leaves_the_server_running(server: ForkServer, tmp_path: Path) -> None:
    for data in (b"", b"\0" * 8, (5).to_bytes(8, "big") + b"{[(]}"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(os.environ[SOCKET])
            client.sendall(data)
    assert ask(tmp_path, "--runtime-env-hash=0")["parent"] == server._process.pid


def test_the_server_ends_with_the_raylet_and_with_its_driver(worker_script: Path, tmp_path: Path) -> None:
    with ForkServer(str(worker_script)) as server, subprocess.Popen(["sleep", "60"]) as raylet:
        ask(tmp_path, "--runtime-env-hash=0", RAY_RAYLET_PID=str(raylet.pid))
        assert server._process.poll() is None
        raylet.kill()
        assert server._process.wait(20) == 0
    assert not {SOCKET, SCRIPT} & os.environ.keys()

    code = f"""
import os, signal
from jobs.cluster.fork_server import ForkServer
server = ForkServer({str(worker_script)!r}).__enter__()
print(server._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    said = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False, timeout=60).stdout
    wait_for(lambda: not psutil.pid_exists(int(said)))


WITH_RAY = """
import os, signal
import psutil, ray
from jobs.cluster.config import Cluster
from jobs.cluster.ray_start import prepare
prepare(Cluster(), verbose=False)
from jobs.cluster.ray_patches import lean_ray

@ray.remote(max_restarts=-1, max_task_retries=-1)
class Worker:
    def parent(self):
        return os.getppid(), os.getpid()

@ray.remote(runtime_env={"env_vars": {"A_VARIABLE": "here"}})
def own():
    return os.environ["A_VARIABLE"], os.getppid()

with lean_ray() as server:
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
    worker = Worker.remote()
    parent, first = ray.get(worker.parent.remote())
    assert parent == server._process.pid
    os.kill(first, signal.SIGKILL)
    parent, second = ray.get(worker.parent.remote())
    assert parent == server._process.pid and second != first
    variable, parent = ray.get(own.remote())
    assert variable == "here" and parent != server._process.pid
    server._process.kill()
    server._process.wait()
    parent, third = ray.get(Worker.remote().parent.remote())
    assert third not in (first, second)
    family = psutil.Process().children(recursive=True)
    ray.shutdown()
gone, left = psutil.wait_procs(family, timeout=10)
assert not left, left
print("done")
"""


@pytest.mark.cluster
def test_ray_runs_forked_workers_replaces_killed_ones_and_goes_on_without_the_server() -> None:
    done = subprocess.run([sys.executable, "-c", WITH_RAY], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.endswith("done\n"), done.stderr
