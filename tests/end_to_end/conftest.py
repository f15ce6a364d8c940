"""One small Ray cluster for all end-to-end tests; each test runs the command as a user would, and joins it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent.parent / "fixtures"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a cluster of two CPUs."""
    import ray  # noqa: PLC0415  only these tests need it

    context = ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=500_000_000
    )
    yield context.address_info["address"]
    ray.shutdown()


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
