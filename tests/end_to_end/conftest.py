"""Fixtures that run commands as a user does, and jobs in this process, on the cluster shared by all tests."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stdout
from pathlib import Path

import pytest

from actors.fault_injection import VARIABLE
from jobs.batch_infer import batch_infer as batch_infer_here
from jobs.cli.entry import ExitStatus
from jobs.config import to_job
from jobs.schemas import compose_verb

FIXTURES = Path(__file__).parent.parent / "fixtures"
Command = Callable[..., subprocess.CompletedProcess[str]]
Infer = Callable[..., list[str]]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def batch_infer(cluster: str, tmp_path: Path) -> Command:
    """Runs `python -m jobs.batch_infer` in its own folder, on the shared cluster."""

    def run(*overrides: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(cluster, overrides), cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=180,
            check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def infer(cluster: str, tmp_path: Path) -> Iterator[Infer]:
    """Runs a job to completion in this process, in its own folder, and returns the lines that it prints. Takes a
    quarter of the time of a command; for tests of the rows, not of the process.
    """
    assert cluster
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}

    def run(*overrides: str) -> list[str]:
        with chdir(tmp_path):
            job = to_job(compose_verb("batch_infer", list(overrides)))
            with redirect_stdout(io.StringIO()) as printed:
                assert batch_infer_here(job) is ExitStatus.DONE
        return printed.getvalue().splitlines()

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def start_batch_infer(cluster: str, tmp_path: Path) -> Iterator[Start]:
    """Starts the command with faults armed, and finally kills its remaining processes."""
    processes = []

    def start(*overrides: str, faults: str = "") -> subprocess.Popen[str]:
        variables = environment() | ({VARIABLE: faults} if faults else {})
        process = subprocess.Popen(
            command(cluster, overrides), cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def command(cluster: str, overrides: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "jobs.batch_infer", f"cluster.address={cluster}", *overrides]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(FIXTURES)}
