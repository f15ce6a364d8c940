from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
import ray

from actors.errors import JobError
from jobs.planning.trial_results import result_behind, result_of


def started(function: Any, *arguments: Any) -> Any:
    """Starts a task, as a lambda because that pickles by value: workers cannot import this file."""
    return ray.remote(lambda: function(*arguments)).options(num_cpus=0, max_retries=0).remote()


def failing(error: Exception) -> Any:
    def fail() -> None:
        raise error

    return started(fail)


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_results_and_errors_come_as_the_task_gave_them() -> None:
    never = threading.Event()
    for wait in (result_of, lambda task: result_behind(task, is_over=never, limit_s=60)):
        assert wait(started(abs, -3)) == 3
        with pytest.raises(JobError, match="cannot run"):
            wait(failing(JobError("cannot run", fix="none")))
        with pytest.raises(ray.exceptions.RayTaskError, match="broken"):
            wait(failing(OSError("broken")))


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(("is_over", "error"), [(True, CancelledError), (False, TimeoutError)])
def test_a_task_that_is_no_longer_wanted_is_cancelled(
    is_over: bool,  # noqa: FBT001
    error: type[Exception],
    tmp_path: Path,
) -> None:
    event = threading.Event()
    if is_over:
        event.set()
    mark = tmp_path / "runs"
    task = started(lambda: mark.touch() or time.sleep(600))
    while not mark.exists():  # Ray 2.60 may lose the cancellation of a task on its way to a worker
        time.sleep(0.05)
    with pytest.raises(error):
        result_behind(task, is_over=event, limit_s=0.5)
    assert ray.wait([task], timeout=30)[0]
