from __future__ import annotations

import copy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kube_api
import pytest
from kube_api import KubeApi
from manifests import K8S, find, render

from actors.errors import JobError
from jobs.cli.entry import ExitStatus
from jobs.launch import _parser, launch

RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
DONE = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
NIGHT, JOB = "shardlens-202511102000", "nightly-29380080"  # minutes since 1970


def failed(code: int) -> dict[str, Any]:
    said = f"Job entrypoint command failed with exit code {code}, last available logs (truncated to 20,000 chars):\nx"
    return {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed", "message": said}


def template() -> dict[str, Any]:
    rayjob = find(render(K8S / "overlays/nightly-cpu"), "RayJob")
    return set_digest(rayjob)


def set_digest(node: Any) -> Any:
    """Returns a copy with every digest placeholder filled in."""
    if isinstance(node, dict):
        return {key: set_digest(value) for key, value in node.items()}
    if isinstance(node, list):
        return [set_digest(value) for value in node]
    return node.replace("0" * 64, "1a" * 32) if isinstance(node, str) else node


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeApi]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    with kube_api.serve(tmp_path) as (server, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        server.rayjobs["shardlens"] = template()
        yield server
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run(*more: str, job: str = JOB) -> ExitStatus:
    arguments = ["shardlens", "--job", job, "--poll-s", "0.01", "--patience-s", "0.5", *more]
    return launch(_parser().parse_args(arguments))


def test_a_tick_makes_one_rayjob_and_follows_it_to_its_end(api: KubeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.states = [[{}, RUNNING, RUNNING, DONE]]
    assert run("--job-uid", "b9f1", "--label", "kueue.x-k8s.io/queue-name=photos") is ExitStatus.DONE
    assert api.made == [NIGHT]
    made = api.rayjobs[NIGHT]
    assert made["spec"]["entrypoint"] == f"{template()['spec']['entrypoint']} run.id={NIGHT}"
    assert "suspend" not in made["spec"]
    assert made["spec"]["rayClusterSpec"] == template()["spec"]["rayClusterSpec"]
    assert made["metadata"]["labels"] == {
        "app.kubernetes.io/part-of": "shardlens",
        "shardlens/run": NIGHT,
        "kueue.x-k8s.io/queue-name": "photos",
    }
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", JOB, "b9f1")
    assert capsys.readouterr().out.splitlines()[-1] == NIGHT


def test_the_same_tick_again_makes_none(api: KubeApi) -> None:
    api.states = [[RUNNING, DONE]]
    assert run() is ExitStatus.DONE
    assert run() is ExitStatus.DONE
    assert api.made == [NIGHT]


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (DONE, ExitStatus.DONE),
        (failed(1), ExitStatus.FAILED),
        (failed(2), ExitStatus.JOB_WRONG),
        (failed(3), ExitStatus.OVER_BUDGET),
        (failed(4), ExitStatus.STOPPED),
        (failed(5), ExitStatus.DONE),
    ],
)
def test_it_ends_as_the_job_ends(api: KubeApi, ending: dict[str, Any], status: ExitStatus) -> None:
    api.states = [[RUNNING, ending]]
    assert run() is status


def test_another_attempt_goes_on_with_a_run_that_was_stopped(api: KubeApi) -> None:
    api.states = [[RUNNING, failed(4)], [RUNNING, failed(1)], [RUNNING, DONE]]
    assert [run(), run(), run(), run()] == [ExitStatus.STOPPED, ExitStatus.FAILED, ExitStatus.DONE, ExitStatus.DONE]
    assert api.made == [NIGHT, f"{NIGHT}-2", f"{NIGHT}-3"]
    entrypoints = {api.rayjobs[name]["spec"]["entrypoint"] for name in api.made}
    assert len(entrypoints) == 1  # the same run.id


@pytest.mark.parametrize("code", [2, 3])
def test_what_would_fail_again_is_not_tried_again(api: KubeApi, code: int) -> None:
    api.states = [[failed(code)]]
    assert [run(), run()] == [ExitStatus(code)] * 2
    assert api.made == [NIGHT]


def test_one_that_runs_is_followed(api: KubeApi) -> None:
    api.rayjobs[NIGHT] = {"metadata": {"name": NIGHT}, "status": RUNNING}
    api._coming[NIGHT] = [RUNNING, RUNNING, failed(3)]
    assert run() is ExitStatus.OVER_BUDGET
    assert api.made == []


def test_one_that_somebody_else_makes_just_then_is_followed(api: KubeApi) -> None:
    api.before_create = [{"metadata": {"name": NIGHT}, "status": DONE}]
    assert run() is ExitStatus.DONE
    assert ("create", NIGHT, 409) in api.requests
    assert api.made == []


def test_one_that_is_deleted_counts_as_stopped(api: KubeApi) -> None:
    api.states = [[RUNNING]]
    get = api._get

    def get_once(name: str) -> tuple[int, dict[str, Any]]:
        answer = copy.deepcopy(get(name))
        if name == NIGHT:
            api.rayjobs.pop(name, None)
        return answer

    api._get = get_once  # type: ignore[method-assign]
    assert run() is ExitStatus.STOPPED


def test_an_api_that_fails_for_a_while_is_asked_again(api: KubeApi) -> None:
    api.states = [[RUNNING, DONE]]
    api.failures = [500, 0, 429, 503, 401]
    assert run() is ExitStatus.DONE
    assert api.made == [NIGHT]
    assert [status for _, _, status in api.requests[:5]] == [500, 0, 429, 503, 401]


def test_an_api_that_fails_for_long_ends_it_as_failed(api: KubeApi, caplog: pytest.LogCaptureFixture) -> None:
    api.failures = [503] * 10_000
    assert run() is ExitStatus.FAILED
    assert "etcd leader changed" in caplog.text


@pytest.mark.parametrize("missing", ["get", "create"])
def test_what_is_forbidden_is_named_with_its_fix(api: KubeApi, missing: str) -> None:
    api.verbs = {"get", "create"} - {missing}
    with pytest.raises(JobError) as error:
        run()
    for word in (missing, "rayjobs.ray.io", "namespace shardlens", "shardlens-launcher", "Role", "components/launcher"):
        assert word in str(error.value)
    assert api.made == []


def test_a_template_that_is_not_there_is_named(api: KubeApi) -> None:
    del api.rayjobs["shardlens"]
    with pytest.raises(JobError, match="no such RayJob in namespace shardlens"):
        run()


def test_a_template_that_the_schema_refuses_is_named(api: KubeApi) -> None:
    api.rayjobs["shardlens"]["spec"]["entryPoints"] = 1
    if not kube_api.schema_breaches(api.rayjobs["shardlens"]):
        pytest.skip("the schemas of KubeRay are not at hand")
    with pytest.raises(JobError, match="refused: strict decoding error"):
        run()


@pytest.mark.parametrize(
    "label",
    ["queue", "=x"],
)
def test_a_label_that_is_none_is_named(api: KubeApi, label: str) -> None:
    with pytest.raises(JobError, match="--label"):
        run("--label", label)
    assert api.made == []


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs.launch", *arguments, "--poll-s", "0.05", "--patience-s", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_the_container_that_the_manifest_starts_ends_with_the_status(api: KubeApi) -> None:
    """Runs the command and arguments of the CronJob's container, with the variables filled in as the kubelet does."""
    api.states = [[RUNNING, failed(3)]]
    cronjob = find(render(K8S / "overlays/nightly-cpu"), "CronJob")
    (container,) = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    filled = {"NAMESPACE": "shardlens", "JOB_NAME": JOB, "JOB_UID": "b9f1"}
    arguments = [argument.replace("$(", "{").replace(")", "}").format(**filled) for argument in container["args"]]
    assert container["command"] == ["python", "-m", "jobs.launch"]
    process = start(*arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == ExitStatus.OVER_BUDGET
    assert out.splitlines() == [NIGHT]
    assert "last available logs" in err  # the job's last output
    role = find(render(K8S / "overlays/nightly-cpu"), "Role")
    assert {verb for verb, _, _ in api.requests} == set(role["rules"][0]["verbs"])


@pytest.mark.slow
def test_the_container_that_is_told_to_end_leaves_the_rayjob(api: KubeApi) -> None:
    api.states = [[RUNNING]]
    process = start("shardlens", "--tick", "2025-11-10T22:00+02:00")
    assert process.stderr
    for line in process.stderr:
        if "Running" in line:
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == ExitStatus.STOPPED
    assert "the RayJob keeps running" in err
    assert api.made == [NIGHT]
