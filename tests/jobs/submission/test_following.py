from __future__ import annotations

import gc
import io
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from jobs_server import JobsServer, ServedJob

from jobs.submission.config import ClusterError
from jobs.submission.entrypoint import STDOUT
from jobs.submission.following import JobLog, RetryWindow, follow
from jobs.submission.jobs_api import JobsApi

BRISK = RetryWindow(timeout_s=0.5, retry_s=0.05, idle_s=0.1)
LONG = RetryWindow(timeout_s=60, retry_s=0.05, idle_s=0.1)


# Ray's client leaves a broken connection to the garbage collector, and other tests in this process leave event loops.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(Connection|socket|EventLoop):pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def no_broken_connection_for_other_tests() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def err() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(out: io.StringIO, err: io.StringIO) -> JobLog:
    return JobLog(out, err)


@pytest.fixture
def job(server: JobsServer) -> ServedJob:
    server.jobs["x-1"] = ServedJob()
    return server.jobs["x-1"]


def wait_for(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_colours_are_left_out_and_other_escapes_are_shown(log: JobLog, out: io.StringIO, err: io.StringIO) -> None:
    log.feed(f"{STDOUT}\x1b[36m7\x1b[0m rows of \x1b]0;x\x07.jpg\n\x1b[2Jgone\r\n")
    assert out.getvalue() == "7 rows of \\x1b]0;x\\x07.jpg\n"
    assert err.getvalue() == "\\x1b[2Jgone\\r\n"


def test_the_log_is_parted_into_output_and_the_rest(log: JobLog, out: io.StringIO, err: io.StringIO) -> None:
    for piece in ("he", f"llo\n{STDOUT}ro", "ws\n", "", f"{STDOUT}\n", "la", "st"):
        log.feed(piece)
    assert out.getvalue() == "rows\n\n"
    assert err.getvalue() == "hello\n"
    log.end()
    log.end()
    assert err.getvalue() == "hello\nlast\n"


def test_a_job_that_has_ended_is_told_whole(
    server: JobsServer, job: ServedJob, log: JobLog, out: io.StringIO, err: io.StringIO
) -> None:
    job.end(3, f"one\n{STDOUT}two\nthree")
    assert follow(JobsApi(server.address), "x-1", log, LONG).driver_exit_code == 3
    assert (out.getvalue(), err.getvalue()) == ("two\n", "one\nthree\n")
    assert server.num_tails == 1


def test_after_a_cut_no_line_is_doubled_and_none_missing(
    server: JobsServer, job: ServedJob, log: JobLog, err: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("shardlens").propagate = True
    job.log = "".join(f"line {number}\n" for number in range(20)) + "half of a li"

    def cut() -> None:
        for _ in range(2):
            wait_for(lambda: log.num_chars == len(job.log))
            server.is_cut = True
            time.sleep(0.3)
            job.log += "ne\nand more\n"
            server.is_cut = False
        job.end(0, "end\n")

    thread = threading.Thread(target=cut)
    thread.start()
    assert str(follow(JobsApi(server.address), "x-1", log, LONG).status) == "SUCCEEDED"
    thread.join()
    assert err.getvalue() == job.log
    assert server.num_tails >= 3
    assert "retrying" in caplog.text


def test_a_cluster_that_stays_away_is_given_up(server: JobsServer, job: ServedJob, log: JobLog) -> None:
    api = JobsApi(server.address)
    job.log = "begun\n"
    threading.Timer(0.2, lambda: setattr(server, "is_cut", True)).start()
    with pytest.raises(ClusterError, match=r"has not responded for 0 s(.|\n)*x-1 may still be running"):
        follow(api, "x-1", log, RetryWindow(timeout_s=0.4, retry_s=0.05, idle_s=0.1))


def test_a_connection_that_says_nothing_more_is_no_proof_of_life(
    server: JobsServer, job: ServedJob, log: JobLog
) -> None:
    """The head's machine fails: nobody closes the stream."""
    api = JobsApi(server.address)
    server.is_mute = True
    job.log = "never sent\n"

    def vanish() -> None:
        wait_for(lambda: server.num_tails == 1)
        del server.jobs["x-1"]

    threading.Thread(target=vanish).start()
    with pytest.raises(ClusterError, match="was restarted"):
        follow(api, "x-1", log, BRISK)


def test_a_silent_job_is_waited_for(server: JobsServer, job: ServedJob, log: JobLog) -> None:
    threading.Timer(1.0, lambda: job.end(0)).start()
    assert follow(JobsApi(server.address), "x-1", log, BRISK).driver_exit_code == 0
    assert server.num_tails == 1
