"""Creates the RayJob of an attempt from the template. Runs in the launcher's container."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobs.launching.api import RayJobs
    from jobs.launching.names import RunName


@dataclass(frozen=True)
class Owner:
    """The Kubernetes Job that runs the launcher. Deleting it deletes its RayJobs."""

    name: str
    uid: str


@dataclass(frozen=True)
class Template:
    """A RayJob that never runs itself: each run is a copy of it. Call `check` before use.

    Args:
        manifest: the whole RayJob.
        labels: added to each copy; the template's own labels are not copied.
    """

    manifest: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name prefix of the copies."""
        return str(self.manifest["metadata"]["name"])

    def check(self) -> None:
        """Raises `JobError` for a fault that every copy would have."""
        spec = self.manifest.get("spec") or {}
        status = self.manifest.get("status") or {}
        if status.get("jobDeploymentStatus") == "ValidationFailed":
            raise JobError(
                f"template: KubeRay rejects it: {status.get('message')}", fix="correct the RayJob and apply it"
            )
        entrypoint = str(spec.get("entrypoint") or "").strip()
        if "python -m jobs." not in entrypoint or re.search(r"\brun\.(id|slices?)=", entrypoint):
            raise JobError(
                f"template: spec.entrypoint={entrypoint!r}",
                fix="use python -m jobs.VERB with its overrides; omit run.id and run.slices, which the launcher sets",
            )
        if spec.get("backoffLimit"):
            raise JobError(
                f"template: spec.backoffLimit={spec['backoffLimit']}: KubeRay would also retry a job that is wrong",
                fix="set it to 0: the backoffLimit of the Kubernetes Job covers what is worth a retry",
            )
        for image in _images(spec):
            _check_image(image)

    def copy(self, name: str, run: RunName, owner: Owner | None) -> dict[str, Any]:
        """Returns the manifest of a RayJob called ``name`` that executes ``run``."""
        # The template is suspended so that KubeRay does not run it.
        spec = {key: value for key, value in self.manifest["spec"].items() if key != "suspend"}
        spec["entrypoint"] = f"{spec['entrypoint'].strip()} {run.overrides}"
        labels = {"app.kubernetes.io/part-of": "shardlens", "shardlens/run": run.run_id, **self.labels}
        metadata: dict[str, Any] = {"name": name, "labels": labels}
        if owner is not None:
            # The Kubernetes garbage collector compares the uid: a later Job of the same name is not the owner.
            job = {"apiVersion": "batch/v1", "kind": "Job", "name": owner.name, "uid": owner.uid}
            metadata["ownerReferences"] = [job]
        return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": spec}


def read_template(where: str, rayjobs: RayJobs) -> Mapping[str, Any]:
    """Reads the template from a file (YAML or JSON, a path with a slash) or from the namespace, by name.

    Raises:
        JobError: the RayJob does not exist.
    """
    if "/" not in where:  # Kubernetes names have none
        found = rayjobs.get(where)
        if found is None:
            raise JobError(
                f"template {where}: there is no such RayJob in namespace {rayjobs.namespace}",
                fix="apply it with suspend: true; to name a file, give a path with a slash",
            )
        return found
    import yaml  # noqa: PLC0415  comes with the Kubernetes client

    try:
        manifest = yaml.safe_load(Path(where).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise JobError(f"template {where}: cannot be read: {error}", fix="give a file with one RayJob") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != "RayJob" or "name" not in manifest.get("metadata", {}):
        raise JobError(f"template {where}: not a single RayJob with a name", fix="give a file with one RayJob")
    return manifest


def _images(node: Any) -> Iterator[str]:
    """Yields every value of a key ``image`` at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "image" and isinstance(value, str):
                yield value
            else:
                yield from _images(value)
    elif isinstance(node, list):
        for item in node:
            yield from _images(item)


def _check_image(image: str) -> None:
    digest = re.search(r"@sha256:([0-9a-f]{64})$", image)
    # A tag may change between two nodes of a run. A digest of zeros is the placeholder in k8s/.
    if digest is None or not digest.group(1).strip("0"):
        raise JobError(
            f"template: image {image}: {'the digest is not set' if digest else 'not referenced by digest'}",
            fix="set newName and digest under images: in your kustomization.yaml to the image that was pushed",
        )
