"""The command as a user runs it, on the cluster that all tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.fault_injection import VARIABLE

FIXTURES = Path(__file__).parent.parent / "fixtures"
Command = Callable[..., subprocess.CompletedProcess[str]]
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
def start_batch_infer(cluster: str, tmp_path: Path) -> Iterator[Start]:
    """Starts the command with faults armed, and finally kills what is left of it."""
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
