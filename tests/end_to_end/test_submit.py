"""`python -m jobs.submit` as a user runs it, against a cluster that a user started."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from head import Head, start_head

SUCCESS, WRONG, STOPPED = 0, 2, 4
WRONG_TOKEN = "not-the-one"  # noqa: S105


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with start_head() as started:
        yield started


class Client:
    """Runs the command, and finally kills its remaining processes."""

    def __init__(self, head: Head, folder: Path) -> None:
        self.head, self.folder = head, folder
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "jobs.submit", *arguments, f"cluster.address={self.head.address}"]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.head.environment | variables, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        return end_of(self.start(*arguments, **variables))

    def jobs(self) -> dict[str, dict[str, Any]]:
        return {job["submission_id"]: job for job in self.head.get("/api/jobs/").json() if job["submission_id"]}

    def wait_for_the_end(self, submission_id: str) -> str:
        until = time.monotonic() + 120
        while (status := str(self.jobs()[submission_id]["status"])) in ("PENDING", "RUNNING"):
            assert time.monotonic() < until
            time.sleep(0.1)
        return status


def end_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=180)
    return process.returncode, out, err


@pytest.fixture
def client(head: Head, tmp_path: Path) -> Iterator[Client]:
    client = Client(head, tmp_path)
    yield client
    for process in client.processes:
        process.kill()
        process.communicate()


def sample_job(folder: Path, run_id: str) -> list[str]:
    return ["batch_infer", "+dataset=sample", "dataset.limit=20", f"output.path={folder / 'out'}", f"run.id={run_id}"]


def test_a_run_is_stopped_gone_on_with_followed_and_never_doubled(client: Client, tmp_path: Path) -> None:
    """The user's own module is sent along; three clients submit the same run, and one of them is stopped."""
    (tmp_path / "travelling.py").write_text("from actors.sample.network import Net\n\ndef build():\n    return Net()\n")
    job = [*sample_job(tmp_path, "night"), "model.architecture=travelling:build"]
    job += [f"cluster.py_modules=[{tmp_path / 'travelling.py'}]"]
    status, out, err = client.run(*job, "wait=false")
    assert status == SUCCESS, err
    first = out.strip()
    assert first.startswith("batch_infer-night-")
    assert first.endswith("-1")
    assert client.head.post(f"/api/jobs/{first}/stop").ok
    assert client.wait_for_the_end(first) == "STOPPED"

    second = f"{first[:-1]}2"
    one = client.start(*job)
    while second not in client.jobs():
        time.sleep(0.1)
    two, three = client.start(*job), client.start(*job)
    assert three.stderr is not None
    while "Running entrypoint" not in (line := three.stderr.readline()):
        assert line
    three.send_signal(signal.SIGINT)
    status, _, err = end_of(three)
    assert status == STOPPED
    assert f"no longer following {second}, which keeps running" in err
    assert f"ray job stop --address {client.head.address} {second}" in err
    for process in (one, two):
        status, out, err = end_of(process)
        assert status == SUCCESS, err
        assert out.splitlines()[0].startswith("status     done")
        assert out.splitlines()[-1] == str(tmp_path / "out" / "runs" / "night")
        assert "20 images" in err
    assert set(client.jobs()) == {first, second}
    assert ds.dataset(tmp_path / "out" / "rows").count_rows() == 20

    status, out, err = client.run(*job)
    assert (status, out) == (SUCCESS, f"{tmp_path / 'out' / 'runs' / 'night'}\n")
    assert f"{second} has succeeded: nothing to do" in err
    assert set(client.jobs()) == {first, second}
    status, out, err = client.run("verify", f"output.path={tmp_path / 'out'}")
    assert status == SUCCESS, err
    assert out.splitlines()[-1].startswith("proven: 1 run")


def test_a_job_that_fails_there_ends_as_it_ended_and_is_sent_again(client: Client, tmp_path: Path) -> None:
    before = set(client.jobs())
    job = [*sample_job(tmp_path, "lost"), "model.checkpoint=/nowhere/weights.safetensors"]
    for number in (1, 2):
        status, out, err = client.run(*job)
        assert status == WRONG
        assert "error: model.checkpoint=/nowhere/weights.safetensors: no such file" in err
        assert ("ended with status 2: resuming it" in err) is (number == 2)
        assert not out
    assert sorted(name[-2:] for name in set(client.jobs()) - before) == ["-1", "-2"]


def test_what_is_wrong_never_reaches_the_cluster(client: Client, tmp_path: Path) -> None:
    before = client.jobs()
    for override, said in (("batch_size=none", "batch_size=none"), ("engin=torch", "did you mean engine?")):
        status, _, err = client.run(*sample_job(tmp_path, "wrong"), override)
        assert status == WRONG
        assert said in err
    status, _, err = client.run(*sample_job(tmp_path, "wrong"), RAY_AUTH_TOKEN=WRONG_TOKEN)
    assert status == WRONG
    assert "rejects the token" in err
    assert WRONG_TOKEN not in err
    assert client.jobs().keys() == before.keys()
