from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import kube_api
import pytest
from kube_api import KubeApi

from actors.errors import JobError
from jobs.launching.api import ApiGoneError, Patience, RayJobs

PATIENCE = Patience(poll_s=0.01, patience_s=0.1)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeApi]:
    with kube_api.serve(tmp_path) as (server, kubeconfig):
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        yield server


def test_what_is_there_is_got_and_what_is_not_is_none(api: KubeApi) -> None:
    api.rayjobs["night"] = {"kind": "RayJob"}
    rayjobs = RayJobs("shardlens", PATIENCE)
    assert rayjobs.get("night") == {"kind": "RayJob"}
    assert rayjobs.get("day") is None


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(JobError, match=r"shardlens\[k8s\]"):
        RayJobs("shardlens", PATIENCE)


def test_another_namespace_has_nothing(api: KubeApi) -> None:
    api.rayjobs["night"] = {"kind": "RayJob"}
    assert RayJobs("photos", PATIENCE).get("night") is None


def test_a_passing_failure_is_asked_again_and_a_lasting_one_given_up(api: KubeApi) -> None:
    api.failures = [500, 0]
    rayjobs = RayJobs("shardlens", PATIENCE)
    assert rayjobs.get("night") is None
    api.failures = [500] * 1000
    with pytest.raises(ApiGoneError, match="etcd leader changed"):
        rayjobs.get("night")


def test_a_cluster_that_is_nowhere_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with kube_api.serve(tmp_path) as (_, kubeconfig):
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        rayjobs = RayJobs("shardlens", PATIENCE)
    with pytest.raises(ApiGoneError):
        rayjobs.get("night")


def test_without_a_cluster_to_ask_the_fix_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(JobError, match="KUBECONFIG"):
        RayJobs("shardlens", PATIENCE)


def test_in_a_pod_the_service_account_is_taken_and_no_other_server_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, file in (("SERVICE_TOKEN_FILENAME", "token"), ("SERVICE_CERT_FILENAME", "ca.crt")):
        monkeypatch.setattr(f"kubernetes.config.incluster_config.{name}", str(tmp_path / file))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    with kube_api.serve_pods(tmp_path) as server:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_address[1]))
        server.rayjobs["night"] = {"kind": "RayJob"}
        assert RayJobs("shardlens", PATIENCE).get("night") == {"kind": "RayJob"}
        (tmp_path / "other").mkdir()
        with kube_api.serve_pods(tmp_path / "other") as other:
            monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(other.server_address[1]))
            with pytest.raises(ApiGoneError, match="CERTIFICATE_VERIFY_FAILED"):
                RayJobs("shardlens", PATIENCE).get("night")
        assert other.requests == []


def test_a_pod_without_a_token_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    with pytest.raises(JobError, match="automountServiceAccountToken"):
        RayJobs("shardlens", PATIENCE)
