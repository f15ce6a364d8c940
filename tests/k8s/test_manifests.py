"""Every base, overlay and combination of components, rendered; the last tests show that each check can fail."""

from __future__ import annotations

import copy
import functools
import itertools
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torchvision_operators  # noqa: F401  before torchvision
import yaml
from manifests import K8S, KUBERAY_SCHEMAS, combine, find, kuberay_schema, pods, ray_cluster, render, schema_breaches
from operator_rules import operator_breaches
from pod_security import container_breaches, pod_breaches
from ray.serve.schema import ServeDeploySchema

from jobs.config import compose_serving, to_job
from jobs.job import RunConfig
from jobs.launching.names import name_of_job
from jobs.schemas import compose_verb

OVERLAYS = sorted(folder.name for folder in (K8S / "overlays").iterdir())
COMBINATIONS = (
    "",
    "workload-identity",
    "kueue",
    "shared-volume+retried",
    "s3-secret+autoscaling+retried",
    "nightly+kueue",
    "nightly+sliced",
    "retried+kueue+sliced",
    "gpu+autoscaling+workload-identity+raycronjob",
    "gpu+autoscaling+s3-secret+workload-identity+shared-volume+nightly",
    "gpu+autoscaling+workload-identity+endpoint",
)
BASE = K8S / "base"


def combined(tmp_path_factory: pytest.TempPathFactory, case: str) -> tuple[dict[str, Any], ...]:
    if case in OVERLAYS:
        return render(K8S / "overlays" / case)
    return combine(tmp_path_factory.mktemp("combined"), *(case.split("+") if case else ()))


CASES = (*OVERLAYS, *COMBINATIONS)


@pytest.fixture(scope="module", params=CASES)
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], ...]:
    return combined(tmp_path_factory, request.param)


def ray_objects(objects: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    return [obj for obj in objects if obj["apiVersion"] == "ray.io/v1"]


def all_pods(objects: tuple[dict[str, Any], ...]) -> list[tuple[str, dict[str, Any]]]:
    return [named for obj in objects for named in pods(obj)]


def ray_jobs(objects: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    return [obj for obj in ray_objects(objects) if obj["kind"] != "RayService"]


def job_of(obj: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = obj["spec"]
    return spec.get("jobTemplate", spec)


@pytest.mark.skipif(not KUBERAY_SCHEMAS.exists(), reason="the schemas of KubeRay are not at hand")
def test_it_is_valid_against_the_schemas(objects: tuple[dict[str, Any], ...]) -> None:
    assert {obj["kind"]: schema_breaches(obj) for obj in objects} == {obj["kind"]: [] for obj in objects}


def test_the_operator_takes_it(objects: tuple[dict[str, Any], ...]) -> None:
    assert [breach for obj in ray_objects(objects) for breach in operator_breaches(obj)] == []
    for obj in objects:  # the names that the launcher will assign, including third attempts
        if obj["kind"] in ("CronJob", "Job"):
            suffix = "-29380440" if obj["kind"] == "CronJob" else ""
            name = name_of_job("shardlens", obj["metadata"]["name"] + suffix).attempt(3)
            assert operator_breaches(find(objects, "RayJob"), name) == []
            assert name != obj["metadata"]["name"] + suffix  # KubeRay's own Job has the RayJob's name


def test_every_pod_is_restricted(objects: tuple[dict[str, Any], ...]) -> None:
    assert {name: pod_breaches(pod) for name, pod in all_pods(objects)} == {name: [] for name, _ in all_pods(objects)}
    (namespace,) = (obj for obj in objects if obj["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for obj in ray_objects(objects):
        options = ray_cluster(obj).get("autoscalerOptions")
        assert options is None or container_breaches(options) == []


def test_tokens_of_kubernetes_are_where_they_are_needed_alone(objects: tuple[dict[str, Any], ...]) -> None:
    scales = any(ray_cluster(obj).get("enableInTreeAutoscaling") for obj in ray_objects(objects))
    may = {"launcher", "head"} if scales else {"launcher"}
    assert {name for name, pod in all_pods(objects) if pod["spec"]["automountServiceAccountToken"]} <= may
    for role in (obj for obj in objects if obj["kind"] == "Role"):
        assert role["rules"] == [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["get", "create"]}]


def test_every_image_has_a_digest_and_is_changed_in_one_place(objects: tuple[dict[str, Any], ...]) -> None:
    images = {container["image"] for _, pod in all_pods(objects) for container in pod["spec"]["containers"]}
    assert len(images) == 1
    assert re.fullmatch(r"[a-z./]*shardlens@sha256:[0-9a-f]{64}", images.pop())


def test_ray_asks_for_a_token_and_is_the_pinned_one(objects: tuple[dict[str, Any], ...]) -> None:
    pinned = re.search(r"^ray==(.+)$", (K8S.parent / "constraints.txt").read_text(), re.MULTILINE)
    for obj in ray_objects(objects):
        cluster = ray_cluster(obj)
        assert cluster["authOptions"] == {"mode": "token"}
        assert pinned
        assert cluster["rayVersion"] == pinned.group(1)
        assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_what_ray_is_started_with_is_an_option_of_it(objects: tuple[dict[str, Any], ...]) -> None:
    spec = find_spec("ray")  # its import takes seconds
    assert spec is not None
    assert spec.origin
    known = set(
        re.findall(r'^    "(--[a-z-]+)"', (Path(spec.origin).parent / "scripts/scripts.py").read_text(), re.MULTILINE)
    )
    for obj in ray_objects(objects):
        cluster = ray_cluster(obj)
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            assert {f"--{name}" for name in group["rayStartParams"]} <= known


def test_memory_and_disk_of_ray_fit_together(objects: tuple[dict[str, Any], ...]) -> None:
    for obj in ray_objects(objects):
        cluster = ray_cluster(obj)
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            spec = group["template"]["spec"]
            (container,) = spec["containers"]
            volumes = {volume["name"]: volume.get("emptyDir", {}) for volume in spec["volumes"]}
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            shared = volumes[mounts["/dev/shm"]]  # noqa: S108
            assert shared["medium"] == "Memory"
            store = int(group["rayStartParams"]["object-store-memory"])
            limits = {key: to_bytes(value) for key, value in container["resources"]["limits"].items()}
            assert store <= to_bytes(shared["sizeLimit"]) <= limits["memory"] / 2
            spill = volumes[mounts[group["rayStartParams"]["object-spilling-directory"]]]
            on_disk = to_bytes(spill["sizeLimit"]) + to_bytes(volumes["scratch"]["sizeLimit"])
            assert on_disk <= limits["ephemeral-storage"]


def test_who_is_told_to_stop_has_the_time_for_it(objects: tuple[dict[str, Any], ...]) -> None:
    for obj in ray_jobs(objects):
        job = job_of(obj)
        head = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
        wait = {env["name"]: env.get("value") for env in head["containers"][0]["env"]}["RAY_JOB_STOP_WAIT_TIME_S"]
        assert RunConfig().grace_s < int(wait or 0) < head["terminationGracePeriodSeconds"]
        for group in job["rayClusterSpec"]["workerGroupSpecs"]:
            assert group["template"]["spec"]["terminationGracePeriodSeconds"] > RunConfig().grace_s
        assert job["shutdownAfterJobFinishes"]
        assert job["activeDeadlineSeconds"] > job["preRunningDeadlineSeconds"]


def test_pods_are_those_that_the_network_policies_speak_of(objects: tuple[dict[str, Any], ...]) -> None:
    policies = [obj for obj in objects if obj["kind"] == "NetworkPolicy"]
    assert any(
        policy["spec"]["podSelector"] == {} and set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        for policy in policies
    )
    components = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for _, pod in all_pods(objects)}
    selected = {
        policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component") for policy in policies
    }
    assert selected - {None} == components


def test_nothing_but_suspended_templates_lies_beside_a_launcher(objects: tuple[dict[str, Any], ...]) -> None:
    launches = {obj["kind"] for obj in objects} & {"CronJob", "Job", "RayCronJob"}
    for rayjob in (obj for obj in objects if obj["kind"] == "RayJob"):
        assert rayjob["spec"].get("suspend", False) is bool(launches)
        queued = "kueue.x-k8s.io/queue-name" in rayjob["metadata"]["labels"]
        assert not (queued and launches)  # Kueue would start it


def test_secrets_are_named_and_never_written(objects: tuple[dict[str, Any], ...]) -> None:
    assert not [obj for obj in objects if obj["kind"] == "Secret"]


def test_the_entry_point_is_a_valid_job(objects: tuple[dict[str, Any], ...]) -> None:
    for obj in ray_jobs(objects):
        python, flag, module, *overrides = shlex.split(job_of(obj)["entrypoint"])
        assert (python, flag, module) == ("python", "-m", "jobs.batch_infer")
        assert compose_job(*overrides, "run.id=shardlens-202611220200").cluster.address == "auto"


def test_an_endpoint_takes_the_place_of_the_job(objects: tuple[dict[str, Any], ...]) -> None:
    for obj in ray_objects(objects):
        if obj["kind"] == "RayService":
            assert ray_jobs(objects) == []
            config = ServeDeploySchema.model_validate(yaml.safe_load(obj["spec"]["serveConfigV2"]))
            (application,) = config.applications
            options = compose_serving(application.args["overrides"]).serve  # type: ignore[index]
            assert options.token_file == "/etc/shardlens/token"  # noqa: S105
            for _, pod in pods(obj):
                (container,) = pod["spec"]["containers"]
                assert {"name": "token", "mountPath": "/etc/shardlens", "readOnly": True} in container["volumeMounts"]
                assert {"name": "serve", "containerPort": config.http_options.port} in container["ports"]
            assert obj["spec"]["rayClusterDeletionDelaySeconds"] > options.timeout_s
            workers = ray_cluster(obj)["workerGroupSpecs"][0]
            cpus = int(workers["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
            assert options.max_replicas * options.cpus_per_replica < workers["maxReplicas"] * cpus


@functools.cache
def compose_job(*overrides: str) -> Any:
    return to_job(compose_verb("batch_infer", list(overrides)))


def to_bytes(quantity: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(quantity)).groups()  # type: ignore[union-attr]
    return float(number) * {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit]


def test_a_night_is_retried_where_that_helps() -> None:
    cronjob = find(render(K8S / "overlays/nightly-cpu"), "CronJob")["spec"]
    assert cronjob["concurrencyPolicy"] == "Forbid"
    assert {"startingDeadlineSeconds", "timeZone", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"} <= set(
        cronjob
    )
    job = cronjob["jobTemplate"]["spec"]
    actions = {rule["action"]: rule for rule in job["podFailurePolicy"]["rules"]}
    assert actions["FailJob"]["onExitCodes"]["values"] == [2, 3]
    assert actions["FailJob"]["onExitCodes"]["containerName"] == job["template"]["spec"]["containers"][0]["name"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # required by a podFailurePolicy


def test_a_namespace_of_another_name_reaches_everything(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "outer").mkdir()
    combine(tmp_path / "inner", "nightly", "autoscaling")
    (tmp_path / "outer/kustomization.yaml").write_text("namespace: photos\nresources: [../inner]\n")
    objects = render(tmp_path / "outer")
    assert {obj["metadata"].get("namespace", obj["metadata"]["name"]) for obj in objects} == {"photos"}
    assert find(objects, "RoleBinding")["subjects"][0]["namespace"] == "photos"


def mutated(kind: str, path: str, value: Any) -> dict[str, Any]:
    """Returns the object of that kind with one value changed, or removed if it is `...`."""
    overlay = {"RayCronJob": "raycronjob", "CronJob": "nightly-cpu", "RayService": "endpoint-cpu"}.get(
        kind, "nightly-gpu"
    )
    obj = find(render(K8S / "overlays" / overlay), kind)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    node: Any = obj
    for part in parents:
        node = node[part] if isinstance(part, int) else node.setdefault(part, {})
    if value is ...:
        del node[last]
    else:
        node[last] = copy.deepcopy(value)
    return obj


HEAD = "spec/rayClusterSpec/headGroupSpec"


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("RayJob", "spec/entryPoint", "python -m jobs.batch_infer"),
        ("RayJob", f"{HEAD}/template/spec/containers/0/comand", []),
        ("RayJob", f"{HEAD}/template", ...),
        ("RayJob", "spec/backoffLimit", "none"),
        ("RayCronJob", "spec/schedule", ...),
        ("RayService", "spec/upgradeStrategy/kind", "NewCluster"),
        ("RayService", "spec/rayClusterConfig", ...),
        ("CronJob", "spec/concurrency", "Forbid"),
        ("CronJob", "spec/jobTemplate/spec/template/spec/containers/0/args", "shardlens"),
        ("NetworkPolicy", "spec/podSelector", ...),
    ],
)
def test_a_schema_that_is_broken_is_told(kind: str, path: str, value: Any) -> None:
    if kind.startswith("Ray") and kuberay_schema(kind) is None:
        pytest.skip("the schemas of KubeRay are not at hand")
    if kind == "NetworkPolicy":
        (obj,) = (copy.deepcopy(obj) for obj in render(BASE) if obj["metadata"]["name"] == "submitter")
        obj["spec"]["podSelectors"] = obj["spec"].pop("podSelector")
    else:
        obj = mutated(kind, path, value)
    assert schema_breaches(obj)


@pytest.mark.parametrize(
    ("kind", "path", "value", "breach"),
    [
        ("RayJob", "metadata/name", "a" * 48, "name"),
        ("RayCronJob", "metadata/name", "a" * 37, "name"),
        ("RayJob", "metadata/name", "2nights", "name"),
        ("RayJob", "metadata/labels", {"kueue.x-k8s.io/queue-name": "q"}, "Kueue"),
        ("RayCronJob", "spec/schedule", "TZ=UTC 0 2 * * *", "time zone"),
        ("RayService", "spec/upgradeStrategy/type", "Rolling", "upgradeStrategy Rolling"),
        ("RayService", "spec/upgradeStrategy/type", "NewClusterWithIncrementalUpgrade", "autoscaling"),
        ("RayJob", "spec/shutdownAfterJobFinishes", False, "TTL"),
        ("RayJob", "spec/deletionStrategy", {"deletionRules": [{}]}, "deletionRules"),
        ("RayJob", "spec/clusterSelector", {"ray.io/cluster": "c"}, "suspend with clusterSelector"),
        ("RayJob", "spec/rayClusterSpec", ..., "neither"),
        ("RayJob", "spec/submissionMode", "SidecarMode", "SidecarMode"),
        ("RayJob", "spec/activeDeadlineSeconds", 0, "deadline"),
        ("RayJob", "spec/rayClusterSpec/rayVersion", "2.51.1", "2.52"),
        ("RayJob", "spec/rayClusterSpec/rayVersion", ..., "2.52"),
        ("RayJob", "spec/rayClusterSpec/authOptions/enableK8sTokenAuth", True, "enableK8sTokenAuth"),
        ("RayJob", "spec/rayClusterSpec/networkPolicy", {}, "feature gate"),
        ("RayJob", f"{HEAD}/template/spec/restartPolicy", "Always", "restartPolicy"),
        ("RayJob", "spec/rayClusterSpec/workerGroupSpecs/0/minReplicas", 9, "minReplicas above"),
        ("RayJob", "spec/rayClusterSpec/workerGroupSpecs/0/rayStartParams/labels", "a=b", "labels"),
        ("RayCronJob", "spec/jobTemplate/rayClusterSpec/workerGroupSpecs/0/maxReplicas", ..., "needs minReplicas"),
    ],
)
def test_a_rule_of_the_operator_that_is_broken_is_told(kind: str, path: str, value: Any, breach: str) -> None:
    assert breach in " ".join(operator_breaches(mutated(kind, path, value)))


def test_retries_on_a_cluster_that_is_chosen_are_told() -> None:
    rayjob = mutated("RayJob", "spec/clusterSelector", {"ray.io/cluster": "c"})
    rayjob["spec"] |= {"suspend": False, "backoffLimit": 1}
    assert operator_breaches(rayjob) == ["backoffLimit with clusterSelector"]


CONTAINER = "containers/0"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("hostNetwork", True),
        ("securityContext/runAsNonRoot", ...),
        ("securityContext/runAsUser", 0),
        ("securityContext/seccompProfile", ...),
        ("automountServiceAccountToken", ...),
        ("volumes/0", {"name": "host", "hostPath": {"path": "/"}}),
        ("volumes/0", {"name": "scratch", "emptyDir": {}}),
        (f"{CONTAINER}/securityContext/allowPrivilegeEscalation", ...),
        (f"{CONTAINER}/securityContext/privileged", True),
        (f"{CONTAINER}/securityContext/capabilities/add", ["NET_ADMIN"]),
        (f"{CONTAINER}/securityContext/capabilities/drop", []),
        (f"{CONTAINER}/securityContext/readOnlyRootFilesystem", ...),
        (f"{CONTAINER}/securityContext/runAsUser", 0),
        (f"{CONTAINER}/ports/0/hostPort", 80),
        (f"{CONTAINER}/resources/limits/memory", ...),
        (f"{CONTAINER}/resources/requests/cpu", ...),
        (f"{CONTAINER}/env/0", {"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}),
    ],
)
def test_a_pod_that_may_too_much_is_told(path: str, value: Any) -> None:
    rayjob = mutated("RayJob", f"{HEAD}/template/spec/{path}", value)
    assert len(pod_breaches(dict(pods(rayjob))["head"])) == 1


def test_the_readme_explains_every_alert_and_component() -> None:
    readme = (K8S / "README.md").read_text()
    alerts = re.findall(r"alert: (\w+)", (K8S / "monitoring/prometheusrule.yaml").read_text())
    assert [name for name in alerts if f"`{name}`" not in readme] == []
    assert [each.name for each in (K8S / "components").iterdir() if each.name not in readme] == []


def test_every_component_is_in_a_case() -> None:
    tried = set(itertools.chain.from_iterable(case.split("+") for case in CASES))
    assert {folder.name for folder in (K8S / "components").iterdir()} <= tried | {"launcher"}
