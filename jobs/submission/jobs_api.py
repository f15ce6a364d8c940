"""The Jobs API of a Ray cluster: reached with its token, asked and told. Runs on the client."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Any, cast

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from actors.errors import JobError
from actors.messages import one_line, redacted
from jobs.submission.config import ClusterError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class UnknownJobError(Exception):
    """The cluster has no such job: it never had, or it was started anew and has forgotten."""


class JobsApi:
    """The jobs of one cluster.

    Args:
        address: http or https.
        verbose: Ray's client may say what it does.

    Raises:
        JobError: nothing answers there, it is no Ray cluster, or it refuses the token. All methods raise it for a token
            that is refused, and `OSError` where the cluster does not answer any more.
    """

    def __init__(self, address: str, *, verbose: bool = False) -> None:
        for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
            os.environ.pop(name, None)  # Ray would take these for the address, whatever it is told
        for name in () if verbose else ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.address = address
        try:
            self._client = _Client(address)
        except AuthenticationError as error:
            raise self._refused(error) from None
        except (OSError, RuntimeError, ValueError, LookupError) as error:
            raise JobError(
                f"cluster.address={address}: no Jobs API of Ray answers there: {one_line(error)}",
                cure="give the address of the head's dashboard, such as http://host:8265, and see that it is reachable",
            ) from None

    def numbers(self, name: str) -> dict[int, JobDetails]:
        """The submissions ``name``-1, ``name``-2 and so on that the cluster knows, by number."""
        wanted = re.compile(re.escape(name) + r"-(\d+)")
        known = {job.submission_id: job for job in self._ask("list_jobs")}
        found = {wanted.fullmatch(submission_id or ""): job for submission_id, job in known.items()}
        return {int(match[1]): job for match, job in found.items() if match}

    def details(self, submission_id: str) -> JobDetails:
        """How the job stands.

        Raises:
            UnknownJobError: the cluster does not know it.
        """
        try:
            return cast("JobDetails", self._ask("get_job_info", submission_id))
        except RuntimeError as error:
            if "status code 404" in str(error):
                raise UnknownJobError(submission_id) from None
            raise

    def submit(
        self, submission_id: str, entrypoint: str, runtime_env: Mapping[str, Any], metadata: Mapping[str, str]
    ) -> bool:
        """Uploads what is not there yet, and starts the job; False where somebody else has started it meanwhile.

        Raises:
            ClusterError: it does not take the upload or the job.
        """
        try:
            self._ask(
                "submit_job",
                submission_id=submission_id,
                entrypoint=entrypoint,
                runtime_env=dict(runtime_env),
                metadata=dict(metadata),
            )
        except RuntimeError as error:
            if "already exists" in str(error):
                return False
            raise ClusterError(
                f"{self.address} does not take {submission_id}: {_reason(error)}\n"
                "  cure: see the log of the dashboard on the head; then give the same command again"
            ) from None
        return True

    def tail(self, submission_id: str) -> AsyncIterator[str]:
        """The log of the job from its beginning, in pieces, as it grows."""
        return self._client.tail_job_logs(submission_id)

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(self._client, method)(*arguments, **options)
        except AuthenticationError as error:
            raise self._refused(error) from None

    def _refused(self, error: AuthenticationError) -> JobError:
        """What Ray says of a token in pages, in two lines; the token itself is in neither."""
        is_set = os.environ.get("RAY_AUTH_MODE") == "token"
        mode = "" if is_set else "set RAY_AUTH_MODE=token, and "
        return JobError(
            f"cluster.address={self.address}: the cluster wants another token: {one_line(error)}",
            cure=f"{mode}give the cluster's token in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, or in "
            "~/.ray/auth_token",
        )


def _reason(error: RuntimeError) -> str:
    """The last line of what a server said, since these are tracebacks."""
    return redacted(str(error).strip().splitlines()[-1])


_ANSWER_S = (10.0, 120.0)  # to connect, and to say something


class _Client(JobSubmissionClient):
    """Ray's client, which of itself would wait for an answer without end."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        return super()._do_request(method, endpoint, **{"timeout": _ANSWER_S, **options})
