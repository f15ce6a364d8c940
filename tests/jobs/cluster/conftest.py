from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import WORKER

from jobs.cluster.fork_server import ForkServer


@pytest.fixture
def worker_script(tmp_path: Path) -> Path:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    return script


@pytest.fixture
def server(worker_script: Path) -> Iterator[ForkServer]:
    with ForkServer(str(worker_script)) as one:
        yield one
