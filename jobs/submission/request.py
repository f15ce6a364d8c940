"""What a submission asks for: the verb, its overrides, and what is for the submission itself. Checked here, on the
client, before anything leaves, as far as no data and no model file of the cluster is needed.
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
from jobs.runs.records import run_id_of
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
    """A verb that may be sent."""

    verb: str
    overrides: list[str]
    """Those of the verb, as they were typed."""
    submission: Submission
    told: ComposedConfig

    @property
    def run_id(self) -> str | None:
        """The run that the job goes on with or makes; None where the verb has none, or it was not given."""
        return self.told.wanted.run.id if self.verb == _RUNNING_VERB else None

    @property
    def is_resumed(self) -> bool:
        """Whether the same job again goes on with what there is, so that two of it at once are never wanted."""
        return self.verb == _RUNNING_VERB

    @property
    def digest(self) -> str:
        """Tells one request from another: by the run and its output where the run has a name, else by all of it."""
        content: Any = [self.verb, self.told.content]
        if self.run_id is not None:
            run = self.told.content["run"]
            content = [self.verb, self.told.content["output"]["path"], {key: run.get(key) for key in _PARTS_OF_A_RUN}]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]

    @property
    def run_folder(self) -> str | None:
        """The folder of the run, where it has a name already."""
        return RunPaths(self.told.wanted.output.path, "", self.run_id).run if self.run_id else None

    @property
    def grace_s(self) -> float:
        """Seconds that the verb takes to end when it is told to stop."""
        return float(getattr(self.told.wanted.run, "grace_s", 0.0))

    def arguments(self) -> list[str]:
        """The overrides as the cluster is given them."""
        return [*self.overrides, *(["cluster.address=auto"] if "cluster" in self.told.content else [])]


def read_request(arguments: Sequence[str]) -> Request:
    """What ``arguments`` ask for: a verb, and overrides of which some are for the submission itself.

    Raises:
        JobError, HydraException, OmegaConfBaseException: the first thing that is wrong, as the verb would say it.
    """
    verb, overrides = _verb(arguments), list(arguments[1:])
    own = [override.lstrip("+") for override in overrides if _key(override) in OWN_KEYS]
    submission = to_submission(own)
    submission.check()
    rest = [override for override in overrides if _key(override) not in OWN_KEYS]
    with named_variables(rest):
        request = Request(verb, rest, submission, compose_config(verb, rest))
    if isinstance(request.told.wanted, Job):
        _check_job(request.told.wanted)
    refuse_relative_paths(verb, request.told.content)
    refuse_secrets(rest, request.told.content)
    return request


def submission_name(request: Request) -> str:
    """The name of the submissions of ``request``, without their number.

    Of a verb that goes on with what there is, the same for the same request, so that Ray itself refuses to run it
    twice at once; of others, such as `verify`, each time another.
    """
    if not request.is_resumed:
        return f"{request.verb}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    return "-".join([request.verb, *([request.run_id] if request.run_id else []), request.digest])


def latest_submission(api: JobsApi, name: str) -> tuple[int, JobDetails | None]:
    """The last number under which ``name`` was sent, and how that job stands; 0 and None where it never was."""
    numbers = api.numbers(name)
    return max(numbers.items(), key=lambda item: item[0], default=(0, None))


_RUNNING_VERB = "batch_infer"
_PARTS_OF_A_RUN = ("id", "redrive", "slices", "slice")  # each is work of its own


def _verb(arguments: Sequence[str]) -> str:
    verbs = ", ".join(VERBS)
    if not arguments or "=" in arguments[0]:
        raise JobError("no verb: the first argument says what is to be run", cure=f"put one of {verbs} first")
    if arguments[0] not in VERBS:
        close = get_close_matches(arguments[0], VERBS, n=1)
        cure = f"did you mean {close[0]}? A cluster runs {verbs}" if close else f"choose one of {verbs}"
        raise JobError(f"{arguments[0]}: there is no such verb for a cluster", cure=cure)
    flags = [argument for argument in arguments[1:] if argument.startswith("-")]
    if flags:
        raise JobError(f"{flags[0]}: flags are not sent", cure="write all as key=value; submit each job of a sweep")
    return arguments[0]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _check_job(job: Job) -> None:
    """What `jobs.runs.preflight` checks first there, but for what this machine need not have."""
    check_numbers(job)
    replace(job.decode, device=DecodeDevice.cpu).check()
    job.model.preprocess.check()
    job.engine.check(job.model)
    if job.run.id is not None:
        run_id_of(job)
