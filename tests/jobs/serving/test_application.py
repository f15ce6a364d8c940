"""A model is replaced, and a replica killed, while an endpoint constantly receives requests."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from digit_images import DIGITS, encoded

from actors.predictor import Predictor
from actors.recipe import Recipe

pytestmark = pytest.mark.cluster
CLIENTS, IMAGES = 4, 40


class Endpoint(NamedTuple):
    url: str
    process: subprocess.Popen[str]
    log: Path
    environment: dict[str, str]
    """Environment variables of the command, with a token for Ray."""

    @property
    def address(self) -> str:
        """Address of the Ray that the command started."""
        found = re.search(r"cluster\.address=(\S+)", self.log.read_text(encoding="utf-8"))
        assert found
        return found[1]

    def replicas(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in children if "ServeReplica:shardlens-model" in " ".join(one.cmdline())]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "token").write_text("0123456789abcdef" * 2, encoding="utf-8")
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    log = folder / "log"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "jobs.serve", "model=digits", "engine=torch", f"serve.port={port}"]
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True, env=environment
        )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}", log.read_text(encoding="utf-8")
            yield Endpoint(f"http://127.0.0.1:{port}", process, log, environment)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


class Asked(NamedTuple):
    number: int
    """Number of the image."""
    status: int
    row: dict[str, Any]


@contextmanager
def asked(endpoint: Endpoint) -> Iterator[list[Asked]]:
    """Sends requests throughout the block, and until every client has sent one more."""
    answers: list[Asked] = []
    is_over = threading.Event()
    numbers = count()

    def ask() -> None:
        while True:
            is_last, number = is_over.is_set(), next(numbers) % IMAGES
            request = urllib.request.Request(f"{endpoint.url}/predict", encoded()[number])  # noqa: S310
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                    answers.append(Asked(number, answer.status, json.load(answer)))
            except urllib.error.HTTPError as error:
                answers.append(Asked(number, error.code, {}))
            if is_last:
                return

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(ask) for _ in range(CLIENTS)]
        try:
            yield answers
        finally:
            is_over.set()
    for one in running:
        one.result()


@pytest.fixture(scope="module")
def label_ids() -> list[int]:
    return Predictor(Recipe(DIGITS)).predict(encoded()[:IMAGES])["label_id"].to_pylist()


def test_a_killed_replica_costs_no_wrong_answer(endpoint: Endpoint, label_ids: list[int]) -> None:
    (replica,) = endpoint.replicas()
    with asked(endpoint) as answers:
        until(lambda: len(answers) > 20)
        replica.kill()
        num_before = len(answers)
        until(lambda: len([one for one in answers[num_before:] if one.status == 200]) > 20)
    assert {one.status for one in answers} <= {200, 503}
    assert all(one.row["label_id"] == label_ids[one.number] for one in answers if one.status == 200)
    assert replica.pid not in {one.pid for one in endpoint.replicas()}


def test_a_model_is_rolled_out_without_a_failed_request(
    endpoint: Endpoint, label_ids: list[int], tmp_path: Path
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"new {number}\n" for number in range(10)), encoding="utf-8")
    overrides = ["model=digits", "engine=torch", f"model.labels={labels}", f"serve.port={endpoint.url.split(':')[2]}"]
    command = [sys.executable, "-m", "jobs.serve", *overrides, "serve.roll_out=true"]
    with asked(endpoint) as answers:
        until(lambda: len(answers) > 20)
        command.append(f"cluster.address={endpoint.address}")
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, env=endpoint.environment
        )
        assert ended.returncode == 0, ended.stderr
        num_before = len(answers) + CLIENTS  # requests in flight may get the earlier model
        until(lambda: len(answers) > num_before + 20)
    assert {one.status for one in answers} == {200}
    assert all(one.row["label_id"] == label_ids[one.number] for one in answers)
    assert {one.row["label"][:3] for one in answers[num_before:]} == {"new"}
    assert len(endpoint.replicas()) == 1


def test_a_signal_to_all_processes_at_once_ends_the_endpoint(endpoint: Endpoint) -> None:
    os.killpg(endpoint.process.pid, signal.SIGTERM)  # as `timeout` and many supervisors do
    assert endpoint.process.wait(30) == 0


def until(is_so: Any) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
