"""The fork client where the server does not fork; `test_fork_server` covers the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from forked import ask

from jobs.cluster.fork_server import IS_SUPPORTED, ForkServer

pytestmark = pytest.mark.skipif(not IS_SUPPORTED, reason="needs Linux")


def test_a_worker_with_its_own_runtime_environment_starts_by_itself(server: ForkServer, tmp_path: Path) -> None:
    facts = ask(tmp_path, "--runtime-env-hash=-123")
    assert (facts["is_shared"], facts["parent"] == server._process.pid) == (False, False)


def test_workers_start_by_themselves_after_the_server_has_died(server: ForkServer, tmp_path: Path) -> None:
    server._process.kill()
    server._process.wait()
    assert ask(tmp_path, "--runtime-env-hash=0")["is_shared"] is False
    server.preload("colorsys")
