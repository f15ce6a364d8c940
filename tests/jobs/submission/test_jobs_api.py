from __future__ import annotations

from pathlib import Path

import pytest
from jobs_server import JobsServer, ServedJob

from actors.errors import JobError
from jobs.submission.config import ClusterError
from jobs.submission.jobs_api import JobsApi, UnknownJobError


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    (tmp_path / "parcel.zip").write_bytes(b"PK\5\6" + bytes(18))
    return tmp_path / "parcel.zip"


def test_the_job_is_sent_as_it_is_told(server: JobsServer, parcel: Path) -> None:
    api = JobsApi(server.address)
    assert api.submit("x-1", "true", {"working_dir": str(parcel)}, {"about": "it"})
    assert server.num_uploads == 1
    (told,) = server.submitted
    assert (told["entrypoint"], told["submission_id"], told["metadata"]) == ("true", "x-1", {"about": "it"})
    assert told["runtime_env"]["working_dir"].startswith("gcs://")
    assert str(api.details("x-1").status) == "RUNNING"


def test_what_ray_has_already_is_left_to_who_sent_it(server: JobsServer) -> None:
    server.refusal = "Traceback\nValueError: Job with submission_id x-1 already exists. Please use another."
    assert not JobsApi(server.address).submit("x-1", "true", {}, {})


def test_a_refusal_is_told_by_its_reason(server: JobsServer) -> None:
    server.refusal = "Traceback\n  File\nRuntimeError: no agent"
    with pytest.raises(ClusterError, match=r"rejects x-1: RuntimeError: no agent"):
        JobsApi(server.address).submit("x-1", "true", {}, {})


def test_an_unknown_job_is_one(server: JobsServer) -> None:
    with pytest.raises(UnknownJobError):
        JobsApi(server.address).details("x-1")


def test_the_environment_names_no_other_cluster(server: JobsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.jobs["a-1"] = ServedJob()
    assert list(JobsApi(server.address).submissions("a")) == [1]


def test_where_nothing_answers_the_address_is_named(server: JobsServer) -> None:
    with pytest.raises(JobError, match=r"cluster.address=http://127.0.0.1:1: no Ray Jobs API"):
        JobsApi("http://127.0.0.1:1")
    with pytest.raises(JobError, match="no Ray Jobs API"):
        JobsApi(f"{server.address}/elsewhere")


@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_a_refused_token_is_told_with_the_fix(mode: str, server: JobsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.token = "another"  # noqa: S105
    monkeypatch.setenv("RAY_AUTH_MODE", mode)  # Ray has read it before; the message has not
    with pytest.raises(JobError, match="rejects the token") as caught:
        JobsApi(server.address)
    assert "RAY_AUTH_TOKEN_PATH" in str(caught.value)
    assert ("set RAY_AUTH_MODE=token" in str(caught.value)) is (mode == "disabled")
