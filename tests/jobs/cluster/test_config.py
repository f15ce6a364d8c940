from __future__ import annotations

import socket

import pytest

from actors.errors import JobError
from jobs.cluster.config import Cluster


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "host:port", "127.0.0.1:99999999999"])
def test_a_cluster_that_does_not_answer(address: str) -> None:
    with pytest.raises(JobError, match=f"cluster.address={address}: "):
        Cluster(address=address).check()


def test_the_address_of_a_jobs_api_is_for_another_command() -> None:
    with pytest.raises(JobError, match=r"cluster\.address=http://h:8265: .*\n  fix: .*python -m jobs\.submit"):
        Cluster(address="http://h:8265").check()


def test_a_cluster_that_answers_and_none_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        Cluster(address=f"127.0.0.1:{server.getsockname()[1]}").check()
    Cluster().check()
    Cluster(address="auto").check()


def test_a_metrics_port_that_cannot_be_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(JobError, match=rf"cluster\.metrics_port={port}: .*in use"):
            Cluster(metrics_port=port).check()
    Cluster(metrics_port=port).check()
    with pytest.raises(JobError, match=r"cluster\.metrics_port=99999: "):
        Cluster(metrics_port=99999).check()
    with pytest.raises(JobError, match="ray start: --metrics-export-port"):
        Cluster(metrics_port=port, address="auto").check()


def test_a_gpu_takes_at_least_one_worker() -> None:
    with pytest.raises(JobError, match=r"cluster\.workers_per_gpu=0: not above 0"):
        Cluster(workers_per_gpu=0).check()


@pytest.mark.parametrize(("folder", "problem"), [("/proc", "0.0 MiB free"), ("/nowhere", "No such file or directory")])
def test_a_temporary_folder_without_room(monkeypatch: pytest.MonkeyPatch, folder: str, problem: str) -> None:
    monkeypatch.setenv("TMPDIR", folder)
    with pytest.raises(JobError, match=rf"TMPDIR={folder}: {problem}"):
        Cluster().check()
    monkeypatch.setenv("RAY_TMPDIR", "/")
    Cluster().check()


def test_the_variable_names_the_cluster_where_the_key_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    addresses = [Cluster(), Cluster(address="local"), Cluster(address="auto")]
    for cluster in addresses:
        cluster.resolve()
    assert [cluster.address for cluster in addresses] == ["127.0.0.1:1", None, "auto"]
    with pytest.raises(JobError, match=r"RAY_ADDRESS=127\.0\.0\.1:1: .*\n  fix: .*cluster\.address=local"):
        addresses[0].check()
    monkeypatch.delenv("RAY_ADDRESS")
    here = Cluster()
    here.resolve()
    assert here.address is None
