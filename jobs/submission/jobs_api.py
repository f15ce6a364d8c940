"""Client for a Ray cluster's Jobs API that adds timeouts and this project's errors. Runs on the client."""

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
    """The cluster has no such job: it never existed, or the cluster was restarted."""


class JobsApi:
    """The jobs of one cluster.

    Args:
        address: http or https.
        verbose: keep the log messages of Ray's client.

    Raises:
        JobError: there is no Jobs API at the address, or it rejects the token. All methods raise it for a rejected
            token, and `OSError` if the cluster no longer responds.
    """

    def __init__(self, address: str, *, verbose: bool = False) -> None:
        for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
            os.environ.pop(name, None)  # Ray 2.60 prefers these to the address that its client is given
        for name in () if verbose else ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.address = address
        try:
            self._client = _Client(address)
        except AuthenticationError as error:
            raise self._rejected(error) from None
        except (OSError, RuntimeError, ValueError, LookupError) as error:
            raise JobError(
                f"cluster.address={address}: no Ray Jobs API responds there: {one_line(error)}",
                fix="give the dashboard's address on the head node, such as http://host:8265, and make sure that it "
                "is reachable",
            ) from None

    def submissions(self, name: str) -> dict[int, JobDetails]:
        """Returns the submissions ``name``-1, ``name``-2 and so on that the cluster knows, by number."""
        # All jobs, filtered here: the Jobs API of Ray 2.60 has no query by name.
        wanted = re.compile(re.escape(name) + r"-(\d+)")
        # The list also contains drivers that were started on the cluster directly, without a submission id.
        found = [(wanted.fullmatch(job.submission_id or ""), job) for job in self._call("list_jobs")]
        return {int(match[1]): job for match, job in found if match}

    def details(self, submission_id: str) -> JobDetails:
        """Returns the status of a job.

        Raises:
            UnknownJobError: the cluster does not know it.
        """
        try:
            return cast("JobDetails", self._call("get_job_info", submission_id))
        except RuntimeError as error:
            # Ray's client raises the same type for every status; only the text contains the number.
            if "status code 404" in str(error):
                raise UnknownJobError(submission_id) from None
            raise

    def submit(
        self, submission_id: str, entrypoint: str, runtime_env: Mapping[str, Any], metadata: Mapping[str, str]
    ) -> bool:
        """Uploads the code unless the cluster has it, and starts the job; returns False if another client was faster.

        Raises:
            ClusterError: the cluster rejects the upload or the job.
        """
        try:
            self._call(
                "submit_job",
                submission_id=submission_id,
                entrypoint=entrypoint,
                runtime_env=dict(runtime_env),
                metadata=dict(metadata),
            )
        except RuntimeError as error:
            # Ray compares and sets the submission id atomically: one of two clients gets this error.
            if "already exists" in str(error):
                return False
            raise ClusterError(
                f"{self.address} rejects {submission_id}: {_reason(error)}\n"
                "  fix: read the dashboard's log on the head node, then run the same command again"
            ) from None
        return True

    def tail(self, submission_id: str) -> AsyncIterator[str]:
        """Yields the log of the job from its beginning, in pieces, as it grows."""
        return self._client.tail_job_logs(submission_id)

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(self._client, method)(*arguments, **options)
        except AuthenticationError as error:
            raise self._rejected(error) from None

    def _rejected(self, error: AuthenticationError) -> JobError:
        """Shortens Ray's pages on a rejected token to two lines, without the token itself."""
        # Without this mode Ray's client sends no token, even if one is set.
        is_set = os.environ.get("RAY_AUTH_MODE") == "token"
        mode = "" if is_set else "set RAY_AUTH_MODE=token, and "
        return JobError(
            f"cluster.address={self.address}: the cluster rejects the token: {one_line(error)}",
            fix=f"{mode}put the cluster's token in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, or in "
            "~/.ray/auth_token",
        )


def _reason(error: RuntimeError) -> str:
    """Returns the last line of a server's message, which is a traceback."""
    return redacted(str(error).strip().splitlines()[-1])


# To connect, and to wait for data: the head writes an upload of up to 100 MiB to its store before it answers.
_TIMEOUT_S = (10.0, 120.0)


class _Client(JobSubmissionClient):
    """Ray's client with a timeout; it has none of its own."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        return super()._do_request(method, endpoint, **{"timeout": _TIMEOUT_S, **options})
