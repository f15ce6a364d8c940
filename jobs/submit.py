"""`python -m jobs.submit VERB KEY=VALUE ...`: runs a verb on a Ray cluster through its Jobs API, and ends as it
does.
"""

from __future__ import annotations

import logging
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.logs import say
from jobs.cli.shutdown import Shutdown, StoppedError
from jobs.cli.terminal import show
from jobs.config import VERBS
from jobs.submission.config import ClusterError
from jobs.submission.request import latest_submission, read_request, submission_name
from jobs.submission.working_dir import gather_code

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

    from jobs.submission.jobs_api import JobsApi
    from jobs.submission.request import Request
    from jobs.submission.working_dir import CodeArchive

LOG = logging.getLogger("shardlens")


def main() -> None:
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        show(*_HELP.splitlines())
        return
    # Not decorated with `@verb_main`, which composes one config: this command has two, its own and that of the verb.
    request = read_request(arguments)
    wanted = request.composed.wanted
    end_with(lambda: _guarded(request), verbose=wanted.verbose, resumes=False, log_format=wanted.log.format)


def _guarded(request: Request) -> ExitStatus:
    try:
        return submit(request)
    except ClusterError as error:
        say(logging.ERROR, str(error))
        return ExitStatus.FAILED
    except (StoppedError, KeyboardInterrupt):
        say(logging.WARNING, "stopped; a job that was submitted before keeps running, and the same command follows it")
        return ExitStatus.STOPPED


def submit(request: Request) -> ExitStatus:
    """Submits the verb, unless it runs already or has succeeded, and returns its exit status.

    The last line on standard output is that of the verb, or, with wait=false, the name of the submission.

    Raises:
        JobError: the cluster does not answer, refuses the token, or cannot take the files.
        ClusterError: the cluster fails later; the job may continue.
    """
    Shutdown(grace_s=0.0).install()
    code = gather_code(request.submission.cluster.py_modules)
    if request.submission.submit.list_files:
        show(*code.lines())
        return ExitStatus.DONE
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "shardlens.zip"
        # Before the cluster is contacted, so that a file that is missing or too large does not need one to be found.
        num_bytes = code.write(archive)
        _log_left_out(code)
        from jobs.submission.jobs_api import JobsApi  # noqa: PLC0415  imports Ray

        api = JobsApi(str(request.submission.cluster.address), verbose=request.composed.wanted.verbose)
        submission_id, is_done = _begin(api, request, archive, num_bytes)
    if is_done:
        show(*([request.run_folder] if request.run_folder else []))
        return ExitStatus.DONE
    if not request.submission.wait:
        LOG.info("%s keeps running; the same command without wait=false follows it", submission_id)
        show(submission_id)
        return ExitStatus.DONE
    return _follow(api, submission_id, request.submission.submit.timeout_s)


def _log_left_out(code: CodeArchive) -> None:
    names = sorted(code.left_out)
    if names:
        few = ", ".join(names[:_NUM_NAMED]) + (", …" if len(names) > _NUM_NAMED else "")
        LOG.info("%d of your files and folders are not uploaded: %s; submit.list_files=true says why", len(names), few)


_NUM_NAMED = 3  # files in one log line; submit.list_files lists all


def _begin(api: JobsApi, request: Request, archive: Path, num_bytes: int) -> tuple[str, bool]:
    """Returns the name of the submission to follow, and True if it succeeded before."""
    name = submission_name(request)
    number, before = latest_submission(api, name)
    if before is not None and not before.status.is_terminal():
        LOG.info("%s-%s runs already: following it", name, number)
        return f"{name}-{number}", False
    # Without run.id, the same request may find new images: it is submitted again.
    if before is not None and before.status == "SUCCEEDED" and request.run_id is not None:
        LOG.info("%s-%s has succeeded: nothing to do; another run.id makes another run", name, number)
        return f"{name}-{number}", True
    if before is not None and request.is_resumed and before.status != "SUCCEEDED":
        LOG.info("%s-%s ended with status %s: resuming it", name, number, before.driver_exit_code)
    submission_id = f"{name}-{number + 1}"
    LOG.info("submitting %s to %s: %.1f MiB of code", submission_id, api.address, num_bytes / 1024**2)
    is_ours = api.submit(
        submission_id,
        # Ray 2.60 runs this in a shell, signals both, and reports the status of the shell: without `exec`, a stop would
        # end the shell first.
        f"exec python -m jobs.submission.entrypoint {shlex.join([request.verb, *request.arguments()])}",
        {
            "working_dir": str(archive),
            # Read by Ray's job supervisor, which sends SIGKILL after 3 s by default, within the grace period.
            "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(int(request.grace_s) + _TO_END_S)},
        },
        {"shardlens_verb": request.verb} | ({"shardlens_run_id": request.run_id} if request.run_id else {}),
    )
    if not is_ours:
        LOG.info("%s was submitted by another client meanwhile: following it", submission_id)
    return submission_id, False


_TO_END_S = 15  # after the grace period, to write the report and shut Ray down


def _follow(api: JobsApi, submission_id: str, timeout_s: float) -> ExitStatus:
    try:
        from jobs.submission.following import JobLog, RetryWindow, follow  # noqa: PLC0415  imports Ray

        details = follow(api, submission_id, JobLog(sys.stdout, sys.stderr), RetryWindow(timeout_s))
    except (StoppedError, KeyboardInterrupt):
        say(
            logging.WARNING,
            f"no longer following {submission_id}, which keeps running\n"
            "  the same command follows it again\n"
            f"  ray job stop --address {api.address} {submission_id} stops it",
        )
        return ExitStatus.STOPPED
    return _status(details, submission_id)


def _status(details: JobDetails, submission_id: str) -> ExitStatus:
    """Exit status of the verb; FAILED if it has none."""
    code = details.driver_exit_code
    if details.status == "STOPPED":
        say(logging.WARNING, f"{submission_id} was stopped; the same command resumes")
        return ExitStatus.STOPPED
    # The code is None if the verb never ran, as for a runtime environment that could not be built.
    if code is not None and 0 <= code <= max(ExitStatus):
        return ExitStatus(code)
    why = f"killed by signal {-code}" if code is not None and code < 0 else f"status {code}"
    lines = (details.message or "").strip().splitlines()
    say(logging.ERROR, f"{submission_id}: {why}: {lines[0] if lines else 'Ray gives no reason'}")
    return ExitStatus.FAILED


_HELP = f"""python -m jobs.submit VERB cluster.address=http://host:8265 [KEY=VALUE ...]
Runs a verb on a Ray cluster through its Jobs API, and ends as it does:
{", ".join(VERBS)}.

cluster.address         of the Jobs API, on the head of the cluster
cluster.py_modules      a list of your own code to upload: packages, folders of
                        modules, .py files, wheels
submit.list_files=true  lists the files that would be uploaded and those that
                        would not, and submits nothing
wait=false              leaves the job running
All other keys are those of the verb."""


if __name__ == "__main__":
    run_verb(main)
