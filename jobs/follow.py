"""`python -m jobs.follow checkpoints.path=... +dataset=...`: evaluates each checkpoint of a training run once."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from difflib import get_close_matches
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.outputs import open_output
from actors.storage.store import Storage
from actors.storage.uris import join, redacted
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.shutdown import Shutdown, StoppedError
from jobs.cli.verb_main import verb_main
from jobs.cluster.local_ray import LocalRay
from jobs.config import to_following
from jobs.evaluating.evaluation import check_job
from jobs.following.evaluations import Evaluations, job_digest
from jobs.following.follower import Follower
from jobs.following.score_book import ScoreBook
from jobs.following.watching import Watch
from jobs.leases.lease import hold
from jobs.runs.number_checks import check_numbers

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from jobs.following.config import Following, FollowJob

LOG = logging.getLogger("shardlens")


@verb_main("follow")
def main(config: DictConfig) -> None:
    end_with(lambda: follow(to_following(config)), verbose=bool(config.verbose), log_format=config.log.format)


def follow(wanted: Following) -> ExitStatus:
    """Evaluates checkpoints until training has ended, the score stops improving, or a stop is requested.

    Prints a line for each checkpoint, then the curve; the last line on standard output is the folder of
    ``scores.jsonl``, ``best.json`` and ``curve.html``. Returns `ExitStatus.OVER_BUDGET` if too many checkpoints in a
    row could not be evaluated, none has a score, or the best one violates a limit of the evaluation.

    Raises:
        JobError: the job is wrong, or training has ended without a checkpoint.
        HeldError: another command follows checkpoints for this output.
        LostLeaseError: another command took over.
    """
    Shutdown(grace_s=0).install()
    job, output = wanted.job, open_output(wanted.job.output.path, wanted.job.output.storage_options)
    checkpoints = Storage(job.model.storage_options)
    score = _check(job, checkpoints, output.storage)
    folder, digest = join(output.root, "follow"), job_digest(job)
    book = ScoreBook(folder, output.storage, score, job.checkpoints.is_minimum(score), digest)
    with ExitStack() as held:
        # A lost lease is noticed before each row is kept; the run has its own lease.
        lease = held.enter_context(hold(folder, output.storage, ttl_s=job.run.lease_s, on_lost=lambda _error: None))
        book.load()
        ray = held.enter_context(LocalRay(job.cluster, verbose=job.verbose, is_shared=True))
        watch = Watch(job.checkpoints.path, job.checkpoints.pattern, job.checkpoints.poll_s, checkpoints)
        follower = Follower(job, watch, Evaluations(wanted, digest, output, ray), book, lease, checkpoints)
        LOG.info("following %s; Ctrl-C or SIGTERM ends it", redacted(job.checkpoints.path))
        status = _followed(follower)
    follower.summarize()
    return status


def _followed(follower: Follower) -> ExitStatus:
    try:
        return follower.follow()
    except StoppedError:
        LOG.warning("stopped; the scores so far are kept")
        return ExitStatus.STOPPED


def _check(job: FollowJob, checkpoints: Storage, output: Storage) -> str:
    """Checks everything that needs no checkpoint. Returns the name of the score that decides."""
    job.check(checkpoints)
    check_numbers(job)
    job.cluster.check()
    job.dataset.check()
    names = check_job(job.evaluate, job, output)
    score = job.checkpoints.score or names[0]
    if score not in names:
        close = get_close_matches(score, names, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise JobError(
            f"checkpoints.score={score}: the task has no score of that name",
            fix=f"{hint}the scores are {', '.join(names)}",
        )
    return score


if __name__ == "__main__":
    run_verb(main)
