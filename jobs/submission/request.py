"""A submission request: verb, overrides and the submission's own keys. Checked on the client before anything is sent,
as far as possible without the cluster's data and model files.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from actors.decoding.config import DecodeDevice
from actors.errors import JobError
from actors.writing.run_paths import RunPaths
from jobs.config import VERBS, compose_config, to_submission
from jobs.job import Job
from jobs.runs.number_checks import check_numbers
from jobs.runs.run_choice import run_id_of
from jobs.submission.config import OWN_KEYS
from jobs.submission.portability import named_variables, refuse_relative_paths, refuse_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ray.job_submission import JobDetails

    from jobs.config import ComposedConfig
    from jobs.submission.config import Submission
    from jobs.submission.jobs_api import JobsApi


@dataclass(frozen=True)
class Request:
    """A verb and its overrides, checked and ready to submit."""

    verb: str
    overrides: list[str]
    """Overrides of the verb, as typed."""
    submission: Submission
    composed: ComposedConfig

    @property
    def run_id(self) -> str | None:
        """The run that the job resumes or creates; None if the verb has no runs or `run.id` is not given."""
        return self.composed.wanted.run.id if self.verb == _RUNNING_VERB else None

    @property
    def is_resumed(self) -> bool:
        """True if the same request resumes the same work, and so must not run twice at once."""
        return self.verb in (_RUNNING_VERB, "follow")

    @property
    def digest(self) -> str:
        """Digest of the request: of run and output if the run is named, otherwise of the whole config."""
        content: Any = [self.verb, self.composed.content]
        if self.run_id is not None:
            # Without the other keys: whatever their values, the name still finds the job that has this run.
            run = self.composed.content["run"]
            output = self.composed.content["output"]["path"]
            content = [self.verb, output, {key: run.get(key) for key in _PARTS_OF_A_RUN}]
        # Sorted: entries of mappings, such as storage_options, are in the order of the overrides.
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]

    @property
    def run_folder(self) -> str | None:
        """Folder of the run; None if the run is not named yet."""
        return RunPaths(self.composed.wanted.output.path, "", self.run_id).run if self.run_id else None

    @property
    def grace_s(self) -> float:
        """Seconds that the verb may take to stop."""
        # The `run` of `verify` has only an id, and `convert` has none.
        return float(getattr(getattr(self.composed.wanted, "run", None), "grace_s", 0.0))

    def arguments(self) -> list[str]:
        """Overrides as passed to the cluster."""
        # On the head node, the job joins the cluster that runs there. `verify` has no cluster.
        return [*self.overrides, *(["cluster.address=auto"] if "cluster" in self.composed.content else [])]


def read_request(arguments: Sequence[str]) -> Request:
    """Parses a verb and overrides, some of which are for the submission itself.

    Raises:
        JobError, HydraException, OmegaConfBaseException: the first fault, as the verb would report it.
    """
    verb, overrides = _verb(arguments), list(arguments[1:])
    # Strips the plus that new keys need: the schema of the submission has all of these keys.
    own = [override.lstrip("+") for override in overrides if _key(override) in OWN_KEYS]
    submission = to_submission(own)
    submission.check()
    rest = [override for override in overrides if _key(override) not in OWN_KEYS]
    # Composed only to be checked: the overrides are sent as typed, so that the cluster resolves its own variables.
    with named_variables(rest):
        request = Request(verb, rest, submission, compose_config(verb, rest))
    if isinstance(request.composed.wanted, Job):
        _check_job(request.composed.wanted)
    refuse_relative_paths(verb, request.composed.content)
    refuse_secrets(rest, request.composed.content)
    return request


def submission_name(request: Request) -> str:
    """Returns the name of the submissions of ``request``, without their number.

    For a verb that resumes, equal requests have equal names, so that Ray refuses to run them at the same time. For
    other verbs, such as `verify`, the name is unique.
    """
    if not request.is_resumed:
        # Four random digits: two clients may submit in the same second.
        return f"{request.verb}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    return "-".join([request.verb, *([request.run_id] if request.run_id else []), request.digest])


def latest_submission(api: JobsApi, name: str) -> tuple[int, JobDetails | None]:
    """Returns the highest number submitted under ``name`` and the status of that job; 0 and None if there is none."""
    return max(api.submissions(name).items(), key=lambda item: item[0], default=(0, None))


_RUNNING_VERB = "batch_infer"
_INSTEAD = {
    "serve": "a driver that ends with its pod is no endpoint: deploy the RayService of k8s/overlays/endpoint-cpu",
    "browse": "a browser cannot reach a driver: run python -m jobs.browse here, which reads the output from storage",
    "runs": "run python -m jobs.runs here, which reads the output from storage",
}
_PARTS_OF_A_RUN = ("id", "redrive", "slices", "slice")  # separate work within one run


def _verb(arguments: Sequence[str]) -> str:
    verbs = ", ".join(VERBS)
    if not arguments or "=" in arguments[0]:
        raise JobError("no verb: the first argument must name one", fix=f"put one of {verbs} first")
    if arguments[0] not in VERBS:
        close = get_close_matches(arguments[0], VERBS, n=1)
        fix = f"did you mean {close[0]}? A cluster runs {verbs}" if close else f"choose one of {verbs}"
        fix = _INSTEAD.get(arguments[0], fix)
        raise JobError(f"{arguments[0]}: not a verb for a cluster", fix=fix)
    flags = [argument for argument in arguments[1:] if argument.startswith("-")]
    if flags:
        raise JobError(f"{flags[0]}: flags cannot be submitted", fix="use key=value; submit each job of a sweep")
    return arguments[0]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _check_job(job: Job) -> None:
    """Checks what `jobs.runs.preflight` checks first, except for devices that this machine may lack."""
    check_numbers(job)
    # decode.device=gpu needs nvImageCodec, which the cluster may have even if this machine does not.
    replace(job.decode, device=DecodeDevice.cpu).check()
    if not job.model.source:  # a source need only be readable on the cluster
        job.model.preprocess.check()
        if job.model.checkpoint:  # `follow` has none yet
            job.engine.check(job.model)
    if job.run.id is not None:
        run_id_of(job)
