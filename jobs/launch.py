"""`python -m jobs.launch TEMPLATE --job NAME`: creates or finds the RayJob of a tick, and exits with its status. Runs
in the container of a Kubernetes Job, which uses the exit status to decide whether to retry.
"""

from __future__ import annotations

import logging
import time
from argparse import ArgumentParser
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from actors.errors import JobError
from jobs.cli.entry import ExitStatus, end_with
from jobs.cli.logs import say
from jobs.cli.shutdown import Shutdown, StoppedError
from jobs.cli.terminal import show
from jobs.job import LogFormat
from jobs.launching.api import ApiGoneError, Patience, RayJobs
from jobs.launching.names import name_of_job, name_of_tick
from jobs.launching.outcome import FINAL, describe, message, outcome
from jobs.launching.rayjob_template import Owner, Template, read_template

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from jobs.launching.names import RunName

LOG = logging.getLogger("shardlens")


def main() -> None:
    given = _parser().parse_args()
    log_format = LogFormat(given.log_format)
    end_with(lambda: launch(given), verbose=given.verbose, resumes=False, log_format=log_format)


def launch(given: Namespace) -> ExitStatus:
    """Follows the RayJob of the run to its end. Creates one if none exists or the last one can be resumed. The last
    line on standard output is the name of the RayJob.

    Raises:
        JobError: the template is wrong, or Kubernetes refuses the request.
    """
    # Kubernetes ends a container with SIGTERM, which PID 1 ignores unless it has a handler.
    Shutdown(grace_s=0).install()
    patience = Patience(given.poll_s, given.patience_s)
    try:
        rayjobs = RayJobs(given.namespace, patience)
        template = Template(read_template(given.template, rayjobs), dict(_labels(given.label)))
        template.check()
        run = name_of_tick(template.name, given.tick) if given.tick else name_of_job(template.name, given.job)
        run = replace(run, slice=given.slice, slices=given.slices)
        owner = Owner(given.job, given.job_uid) if given.job_uid else None
        return _follow(_latest(run, template, owner, rayjobs), rayjobs, patience.poll_s)
    except ApiGoneError as error:
        LOG.error("%s", error)  # noqa: TRY400  the trace says no more
        return ExitStatus.FAILED
    except StoppedError:
        LOG.warning("stopped: the RayJob keeps running, and the same command follows it again")
        return ExitStatus.STOPPED


def _latest(run: RunName, template: Template, owner: Owner | None, rayjobs: RayJobs) -> str:
    """Name of the attempt to follow: the first one that is new, still running, or must not be repeated."""
    for number in count(1):
        name = run.attempt(number)
        found = rayjobs.get(name)
        # Only the create is atomic. If two launchers race, one gets False and follows the other's RayJob.
        if found is None and rayjobs.create(template.copy(name, run, owner)):
            LOG.info("RayJob %s created: %s", name, run.overrides)
            return name
        found = found or rayjobs.get(name) or {}
        ended = outcome(found)
        if ended is None or ended in FINAL:
            LOG.info("RayJob %s exists: %s", name, describe(found))
            return name
        LOG.info("RayJob %s ended before (%s): another attempt resumes the run", name, describe(found))
    raise AssertionError  # unreachable: an overlong name raises first


def _follow(name: str, rayjobs: RayJobs, poll_s: float) -> ExitStatus:
    state = ""
    while True:
        # Polls, because a watch needs another verb in the Role, and the API server ends each watch within an hour.
        rayjob = rayjobs.get(name)
        if rayjob is None:
            LOG.warning("RayJob %s was deleted before its end", name)
            return ExitStatus.STOPPED
        if describe(rayjob) != state:
            state = describe(rayjob)
            LOG.info("RayJob %s: %s", name, state)
        status = outcome(rayjob)
        if status is not None:
            _log_end(name, message(rayjob), status)
            return status
        time.sleep(poll_s)


def _log_end(name: str, text: str, status: ExitStatus) -> None:
    if text:
        say(logging.INFO, text)  # the cluster and its log are gone by now
    LOG.info("RayJob %s ended with status %d", name, status)
    show(name)  # the contract: the last line on standard output


def _labels(given: list[str]) -> Iterator[tuple[str, str]]:
    for label in given:
        key, is_there, value = label.partition("=")
        if not key or not is_there:
            raise JobError(f"--label={label}: no label", fix="write it as --label=kueue.x-k8s.io/queue-name=nightly")
        yield key, value


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m jobs.launch", description=__doc__)
    parser.add_argument("template", help="a RayJob of the namespace that is suspended, or a file (with a slash)")
    parser.add_argument("--namespace", default="shardlens", help="of the template and its copies (%(default)s)")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--job", help="the Kubernetes Job that this runs in; its name ends in the tick or names the run")
    which.add_argument("--tick", help="time of the tick, such as 2026-11-22T02:00Z, outside a Job")
    parser.add_argument("--job-uid", help="uid of that Job, so that its RayJobs are deleted with it")
    parser.add_argument("--label", action="append", default=[], help="KEY=VALUE for each RayJob that is created")
    parser.add_argument("--slices", type=int, default=1, help="RayJobs that share the run, each started by a launcher")
    parser.add_argument("--slice", type=int, default=0, help="index of this launcher's RayJob, from 0")
    parser.add_argument("--poll-s", type=float, default=Patience.poll_s, help="seconds between two requests")
    parser.add_argument("--patience-s", type=float, default=Patience.patience_s, help="seconds that the API may fail")
    parser.add_argument("--log-format", choices=list(LogFormat), default=LogFormat.text, help="of each line")
    parser.add_argument("--verbose", action="store_true", help="show the traceback of an unexpected error")
    return parser


if __name__ == "__main__":
    main()
