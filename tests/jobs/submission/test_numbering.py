from __future__ import annotations

from jobs_server import JobsServer, ServedJob

from jobs.submission.jobs_api import JobsApi
from jobs.submission.numbering import latest, name_of
from jobs.submission.request import read_request

SAMPLE = ["batch_infer", "cluster.address=http://host:8265", "+dataset=sample", "output.path=/shared/out"]


def test_the_same_run_has_the_same_name() -> None:
    request = read_request([*SAMPLE, "run.id=tick.7"])
    assert name_of(request) == name_of(read_request([*SAMPLE, "run.id=tick.7", "cluster.workers=3"]))
    assert name_of(request) == f"batch_infer-tick.7-{request.digest}"
    assert name_of(read_request(SAMPLE)) == name_of(read_request(SAMPLE)) != name_of(request)


def test_a_verb_that_does_not_go_on_is_another_each_time() -> None:
    request = read_request(["verify", "cluster.address=http://host:8265", "output.path=/shared/out"])
    assert name_of(request).startswith("verify-")
    assert name_of(request) != name_of(request)


def test_the_latest_is_that_of_the_highest_number(server: JobsServer) -> None:
    server.jobs = {f"{name}": ServedJob() for name in ("a-1", "a-10", "a-9", "a-x", "a-b-11", "b-12")}
    server.jobs["a-10"].end(3)
    number, details = latest(JobsApi(server.address), "a")
    assert number == 10
    assert details is not None
    assert details.driver_exit_code == 3
    assert latest(JobsApi(server.address), "c") == (0, None)
