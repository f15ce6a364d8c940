"""`python -m jobs.replay run=RUN_ID url=... output.path=...`: sends images of a published run to an endpoint of
`jobs.serve`, and requires the same answers.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from actors.storage.store import Storage
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.shutdown import Shutdown
from jobs.cli.terminal import show
from jobs.cli.verb_main import verb_main
from jobs.config import to_object
from jobs.replaying.config import ReplayJob
from jobs.replaying.replay import replay_run

if TYPE_CHECKING:
    from omegaconf import DictConfig

LOG = logging.getLogger("shardlens")


@verb_main("replay")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: replay(to_object(config, ReplayJob)), verbose=verbose, resumes=False, log_format=log_format)


def replay(wanted: ReplayJob) -> ExitStatus:
    """Prints the differences; the last line counts images: sent = equal + different + not sent.

    Returns `ExitStatus.OVER_BUDGET` if an answer differs by more than the tolerance of the run, or if none could be
    compared.

    Raises:
        JobError: the job is wrong, or the run cannot be read.
        UnreachableError, CredentialsError: the endpoint does not answer, or refuses the token.
        StoppedError: stopped.
    """
    Shutdown(grace_s=0).install()
    replayed = replay_run(wanted)
    show(*replayed.lines())
    if wanted.replay.path is not None:
        replayed.write(wanted.replay.path, Storage(wanted.output.storage_options))
    return ExitStatus.DONE if replayed.is_equal else ExitStatus.OVER_BUDGET


if __name__ == "__main__":
    run_verb(main)
