"""Fixture for tests of submission: a server of Ray's Jobs API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jobs_server import JobsServer, serve


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobsServer]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with serve(JobsServer()) as served:
        yield served
