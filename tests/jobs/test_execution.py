from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.batch_infer import batch_infer
from jobs.command import ExitStatus
from jobs.config import to_job


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.cluster
@pytest.mark.usefixtures("signals_as_before")
def test_from_python_on_a_cluster_that_is_connected_already(
    cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray  # noqa: PLC0415  the guard of the unit tests
    from hydra import compose, initialize_config_module  # noqa: PLC0415

    assert cluster
    with initialize_config_module("conf", version_base="1.3"):
        job = to_job(compose("batch_infer", ["+dataset=sample", "dataset.limit=50", f"output.path={tmp_path}"]))
    assert batch_infer(job) is ExitStatus.DONE
    assert ray.is_initialized()
    printed = capsys.readouterr().out
    assert "50 listed = 50 ok + 0 errors" in printed
    assert printed.splitlines()[-1].startswith(f"{tmp_path}/runs/")
