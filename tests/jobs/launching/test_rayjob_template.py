from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from actors.errors import JobError
from jobs.launching.api import RayJobs
from jobs.launching.names import RunName
from jobs.launching.rayjob_template import Owner, Template, read_template

NO_API = cast("RayJobs", None)  # a file needs none
IMAGE = "registry.example/shardlens@sha256:" + "ab" * 32


def manifest(**spec: Any) -> dict[str, Any]:
    pod = {"spec": {"containers": [{"name": "ray-head", "image": spec.pop("image", IMAGE)}]}}
    spec = {
        "entrypoint": "python -m jobs.batch_infer +dataset=sample\n",
        "suspend": True,
        "rayClusterSpec": {"headGroupSpec": {"template": pod}},
    } | spec
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": "photos", "labels": {"a": "b"}},
        "spec": spec,
    }


def test_a_copy_runs_and_is_the_templates_but_for_its_name() -> None:
    template = Template(manifest(), {"team": "birds"})
    template.check()
    copy = template.copy("photos-1-2", RunName("photos-1"), Owner("night", "b9f1"))
    assert copy["metadata"]["name"] == "photos-1-2"
    assert copy["metadata"]["labels"]["team"] == "birds"
    assert "a" not in copy["metadata"]["labels"]
    assert copy["spec"]["entrypoint"] == "python -m jobs.batch_infer +dataset=sample run.id=photos-1"
    assert "suspend" not in copy["spec"]
    assert template.manifest["spec"]["suspend"] is True
    assert "ownerReferences" not in template.copy("x", RunName("x"), None)["metadata"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"entrypoint": "sleep 1"}, "spec.entrypoint='sleep 1'"),
        ({"entrypoint": "python -m jobs.batch_infer run.id=x"}, "run.id=x"),
        ({"entrypoint": None}, "spec.entrypoint=''"),
        ({"backoffLimit": 2}, "backoffLimit=2"),
        ({"image": "shardlens:latest"}, "not referenced by digest"),
        ({"image": "shardlens@sha256:" + "0" * 64}, "digest is not set"),
    ],
)
def test_a_template_that_would_go_wrong_every_night_is_refused(spec: dict[str, Any], problem: str) -> None:
    with pytest.raises(JobError) as error:
        Template(manifest(**spec)).check()
    assert problem in str(error.value)
    assert error.value.fix


def test_a_template_that_kuberay_refuses_is_refused() -> None:
    status = {"jobDeploymentStatus": "ValidationFailed", "message": "TTL"}
    with pytest.raises(JobError, match="KubeRay rejects it: TTL"):
        Template({**manifest(), "status": status}).check()


def test_a_file_holds_a_template(tmp_path: Path) -> None:
    file = tmp_path / "rayjob.yaml"
    file.write_text(json.dumps(manifest()))
    assert read_template(str(file), NO_API) == manifest()


@pytest.mark.parametrize("text", ["kind: RayCluster", "a: [", "- 1", "kind: RayJob\nmetadata: {}", "\0"])
def test_a_file_without_a_template_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rayjob.yaml"
    file.write_text(text)
    with pytest.raises(JobError, match=r"rayjob\.yaml"):
        read_template(str(file), NO_API)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="cannot be read"):
        read_template(str(tmp_path / "none.yaml"), NO_API)
