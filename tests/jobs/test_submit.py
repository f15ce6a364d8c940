from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import commanded
import pytest
from jobs_server import JobsServer, ServedJob, serve
from ray.job_submission import JobDetails, JobStatus, JobType

from actors.errors import JobError
from jobs import submit
from jobs.cli.entry import ExitStatus
from jobs.cli.shutdown import Shutdown
from jobs.submission.request import read_request

SAMPLE = ["batch_infer", "+dataset=sample", "output.path=/shared/out"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobsServer]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(Shutdown, "install", lambda _: None)  # pytest owns the signals
    with serve(JobsServer()) as served:
        yield served


def sent(server: JobsServer, *overrides: str) -> ExitStatus:
    return submit.submit(read_request([*SAMPLE, f"cluster.address={server.address}", *overrides]))


def test_what_runs_is_followed_and_what_ended_well_is_left(
    server: JobsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sent(server, "run.id=r", "wait=false") is ExitStatus.DONE
    (name,) = server.jobs
    assert capsys.readouterr().out.splitlines()[-1] == name
    server.jobs[name].log = "working\n"
    threading.Thread(target=lambda: (_until(lambda: server.num_tails == 1), server.jobs[name].end(0))).start()
    assert sent(server, "run.id=r") is ExitStatus.DONE
    assert "working" in capsys.readouterr().err
    assert sent(server, "run.id=r") is ExitStatus.DONE
    assert capsys.readouterr().out.splitlines()[-1] == "/shared/out/runs/r"
    assert list(server.jobs) == [name]
    assert len(server.submitted) == 1


@pytest.mark.parametrize("status", [ExitStatus.FAILED, ExitStatus.OVER_BUDGET, ExitStatus.STOPPED, ExitStatus.HELD])
def test_what_failed_is_sent_under_the_next_number(status: ExitStatus, server: JobsServer) -> None:
    sent(server, "run.id=r", "wait=false")
    (first,) = server.jobs
    server.jobs[first].end(int(status))
    sent(server, "run.id=r", "wait=false")
    assert list(server.jobs) == [first, f"{first.removesuffix('1')}2"]


def test_without_a_name_the_next_run_of_the_same_job_is_another(server: JobsServer) -> None:
    sent(server, "wait=false")
    (first,) = server.jobs
    sent(server, "wait=false")
    assert len(server.jobs) == 1
    server.jobs[first].end(0)
    sent(server, "wait=false")
    assert len(server.jobs) == 2


def test_what_another_client_sent_meanwhile_is_followed(server: JobsServer, capsys: pytest.CaptureFixture[str]) -> None:
    sent(server, "run.id=r", "wait=false")
    (name,) = list(server.jobs)
    server.jobs.clear()
    server.refusal = "ValueError: it already exists"
    other = threading.Thread(
        target=lambda: (_until(lambda: len(server.submitted) == 2), server.jobs.update({name: _ended()}))
    )
    other.start()
    try:
        assert sent(server, "run.id=r") is ExitStatus.OVER_BUDGET
    finally:
        other.join()
    assert "by another" in capsys.readouterr().err


def _until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not is_so() and time.monotonic() < until:
        time.sleep(0.001)


def _ended() -> ServedJob:
    job = ServedJob()
    job.end(3, "by another\n")
    return job


def test_the_job_is_one_command_with_its_overrides_quoted(server: JobsServer) -> None:
    sent(server, "run.id=r", "run.grace_s=5", "wait=false", "dataset.limit=3", "++dataset.path='/shared/so $1.parquet'")
    (told,) = server.submitted
    assert told["entrypoint"].startswith("exec python -m jobs.submission.entrypoint batch_infer +dataset=sample ")
    assert "++dataset.path='/shared/so $1.parquet'" in shlex.split(told["entrypoint"])
    assert told["entrypoint"].endswith(" cluster.address=auto")
    assert "wait" not in told["entrypoint"]
    assert told["runtime_env"]["env_vars"] == {"RAY_JOB_STOP_WAIT_TIME_S": "20"}
    assert told["metadata"] == {"shardlens_verb": "batch_infer", "shardlens_run_id": "r"}


def test_code_that_is_not_there_is_named_before_the_cluster_is_asked(server: JobsServer) -> None:
    with pytest.raises(JobError, match=r"cluster.py_modules=/nowhere"):
        sent(server, "cluster.py_modules=[/nowhere]")
    assert server.num_uploads == 0


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("SUCCEEDED", 0, ExitStatus.DONE),
        ("FAILED", 3, ExitStatus.OVER_BUDGET),
        ("FAILED", 127, ExitStatus.FAILED),
        ("FAILED", -9, ExitStatus.FAILED),
        ("FAILED", None, ExitStatus.FAILED),
        ("STOPPED", None, ExitStatus.STOPPED),
    ],
)
def test_the_status_is_that_of_the_job(
    status: str, code: int | None, expected: ExitStatus, caplog: pytest.LogCaptureFixture
) -> None:
    details = JobDetails(
        type=JobType.SUBMISSION,
        entrypoint="",
        status=JobStatus(status),
        driver_exit_code=code,
        message="it broke\nand more",
    )
    assert submit._status(details, "x-1") is expected
    assert ("it broke" in caplog.text) is (expected is ExitStatus.FAILED)


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), ([], 2), ([*SAMPLE, "batch_size=x"], 2)])
def test_the_command_ends_with_its_status(arguments: list[str], status: int, tmp_path: Path) -> None:
    done = commanded.run("submit", *arguments, folder=tmp_path)
    assert done.returncode == status
    assert ("cluster.py_modules" in done.stdout) is (status == 0)
    assert ("fix:" in done.stderr) is (status == 2)
