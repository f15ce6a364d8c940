from __future__ import annotations

from typing import Any

import pytest

from jobs.cli.entry import ExitStatus
from jobs.launching.outcome import describe, message, outcome

FAILED = {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED"}


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        {"jobDeploymentStatus": "Initializing"},
        {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"},
        {"jobDeploymentStatus": "Running", "jobStatus": "FAILED"},  # the submitter still has the log
        {"jobDeploymentStatus": "Suspended"},  # waits in a queue
        {"jobDeploymentStatus": "Retrying", "jobStatus": "FAILED"},
    ],
)
def test_a_job_that_goes_on_has_no_outcome(status: dict[str, Any] | None) -> None:
    assert outcome({"status": status}) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, ExitStatus.DONE),
        ({"jobDeploymentStatus": "Failed", "jobStatus": "SUCCEEDED"}, ExitStatus.DONE),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, ExitStatus.STOPPED),
        ({"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"}, ExitStatus.STOPPED),
        ({"jobDeploymentStatus": "Failed", "reason": "SubmissionFailed"}, ExitStatus.FAILED),
        ({"jobDeploymentStatus": "ValidationFailed", "message": "name too long"}, ExitStatus.JOB_WRONG),
        ({**FAILED}, ExitStatus.FAILED),
        ({**FAILED, "message": "the head is gone"}, ExitStatus.FAILED),
    ],
)
def test_the_states_of_the_operator_become_a_status(status: dict[str, Any], expected: ExitStatus) -> None:
    assert outcome({"status": status}) is expected


@pytest.mark.parametrize(
    ("code", "expected"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 0), (-9, 1), (137, 1), (22, 1), (0, 1)]
)
def test_the_exit_status_in_rays_message_is_taken(code: int, expected: int) -> None:
    said = f"Job entrypoint command failed with exit code {code}. No logs available."
    assert outcome({"status": {**FAILED, "message": said}}) == expected


def test_what_the_log_says_of_exit_codes_is_not_taken() -> None:
    said = "Job supervisor actor died\nJob entrypoint command failed with exit code 2"
    assert outcome({"status": {**FAILED, "message": said}}) is ExitStatus.FAILED


def test_the_message_that_is_looked_for_is_rays_own() -> None:
    from pathlib import Path  # noqa: PLC0415

    import ray.dashboard.modules.job as package  # noqa: PLC0415  the source, not an import of the supervisor

    source = (Path(str(package.__file__)).parent / "job_supervisor.py").read_text()
    assert '"Job entrypoint command "\n                            f"failed with exit code {return_code}, ' in source


def test_a_state_is_one_line() -> None:
    assert describe({}) == "new"
    assert describe({"status": {**FAILED, "reason": "AppFailed", "message": "a\nb"}}) == "Failed, FAILED, AppFailed"
    assert message({"status": {"message": " a\nb "}}) == "a\nb"
    assert message({}) == ""
