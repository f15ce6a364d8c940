"""Exit status and state of a job, from the status of its RayJob. Runs in the launcher's container."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jobs.cli.entry import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

# Another attempt would end the same way.
FINAL = frozenset({ExitStatus.DONE, ExitStatus.JOB_WRONG, ExitStatus.OVER_BUDGET})


def outcome(rayjob: Mapping[str, Any]) -> ExitStatus | None:
    """Returns the exit status of the job; None while it runs. An output held by another run counts as done.

    KubeRay has no exit status. Ray's message begins with it (`job_supervisor.py`), and KubeRay forwards the message.
    """
    status = rayjob.get("status") or {}
    # Does not use jobStatus: KubeRay may still retry a FAILED job, or collect its message.
    if status.get("jobDeploymentStatus") not in _ENDED:
        return None
    if status["jobDeploymentStatus"] == "ValidationFailed":
        return ExitStatus.JOB_WRONG
    if status.get("jobStatus") == "SUCCEEDED":
        return ExitStatus.DONE
    if status.get("jobStatus") == "STOPPED" or status.get("reason") == "DeadlineExceeded":
        return ExitStatus.STOPPED
    # `match`, only at the start: the last lines of the job's log follow and may contain the same words.
    found = re.match(r"Job entrypoint command failed with exit code (\d+)\b", status.get("message") or "")
    code = int(found.group(1)) if found else ExitStatus.FAILED
    # A retry would most likely find the output held again.
    if code == ExitStatus.HELD:
        return ExitStatus.DONE
    return ExitStatus(code) if code in _PASSED_ON else ExitStatus.FAILED


def describe(rayjob: Mapping[str, Any]) -> str:
    """Describes the state of a RayJob in one line: its cluster, its job, and the operator's reason."""
    status = rayjob.get("status") or {}
    states = [status.get(key) for key in ("jobDeploymentStatus", "jobStatus", "reason")]
    return ", ".join(state for state in states if state) or "new"


def message(rayjob: Mapping[str, Any]) -> str:
    """Returns the message of Ray or the operator; for a failed job, the last lines of its log."""
    return str((rayjob.get("status") or {}).get("message") or "").strip()


# `IsJobDeploymentTerminal` of KubeRay, and the state of a spec that it rejects.
_ENDED = ("Complete", "Failed", "ValidationFailed")
# Another code, such as 137 for a killed container, reveals nothing about the job: FAILED, which is worth a retry.
_PASSED_ON = (ExitStatus.FAILED, ExitStatus.JOB_WRONG, ExitStatus.OVER_BUDGET, ExitStatus.STOPPED)
