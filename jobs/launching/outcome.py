"""What the status of a RayJob says of the job that ran in it. Runs in the launcher's container."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jobs.cli.entry import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

# What another attempt would only repeat.
FINAL = frozenset({ExitStatus.DONE, ExitStatus.JOB_WRONG, ExitStatus.OVER_BUDGET})


def outcome(rayjob: Mapping[str, Any]) -> ExitStatus | None:
    """How the job ended; None while it goes on. Output that another run holds counts as done.

    KubeRay gives no exit status. Ray's message begins with it (`job_supervisor.py`), and KubeRay passes that on.
    """
    status = rayjob.get("status") or {}
    if status.get("jobDeploymentStatus") not in _ENDED:
        return None
    if status["jobDeploymentStatus"] == "ValidationFailed":
        return ExitStatus.JOB_WRONG
    if status.get("jobStatus") == "SUCCEEDED":
        return ExitStatus.DONE
    if status.get("jobStatus") == "STOPPED" or status.get("reason") == "DeadlineExceeded":
        return ExitStatus.STOPPED
    told = re.match(r"Job entrypoint command failed with exit code (\d+)\b", status.get("message") or "")
    code = int(told.group(1)) if told else ExitStatus.FAILED
    if code == ExitStatus.HELD:
        return ExitStatus.DONE
    return ExitStatus(code) if code in _TOLD else ExitStatus.FAILED


def describe(rayjob: Mapping[str, Any]) -> str:
    """The state of a RayJob in one line: that of its cluster, that of the job, and the operator's reason."""
    status = rayjob.get("status") or {}
    states = [status.get(key) for key in ("jobDeploymentStatus", "jobStatus", "reason")]
    return ", ".join(state for state in states if state) or "new"


def message(rayjob: Mapping[str, Any]) -> str:
    """What Ray or the operator says of it: for a job that failed, the last lines of its log."""
    return str((rayjob.get("status") or {}).get("message") or "").strip()


_ENDED = ("Complete", "Failed", "ValidationFailed")
_TOLD = (ExitStatus.FAILED, ExitStatus.JOB_WRONG, ExitStatus.OVER_BUDGET, ExitStatus.STOPPED)
