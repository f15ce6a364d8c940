"""The command as a user would run it, on the cluster that all tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent.parent / "fixtures"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def batch_infer(cluster: str, tmp_path: Path) -> Command:
    """Runs `python -m jobs.batch_infer` in a folder of its own, on the shared cluster."""

    def run(*overrides: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jobs.batch_infer", f"cluster.address={cluster}", *overrides]
        environment = {**os.environ, "PYTHONPATH": str(FIXTURES)}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180, check=False
        )

    return run
