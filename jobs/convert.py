"""`python -m jobs.convert output.path=... to=FORMAT convert.path=...`: writes published rows for other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.shutdown import Shutdown
from jobs.cli.terminal import show
from jobs.cli.verb_main import verb_main
from jobs.config import to_object
from jobs.conversion.config import Conversion
from jobs.conversion.conversion import run_conversion

if TYPE_CHECKING:
    from omegaconf import DictConfig


@verb_main("convert")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: convert(to_object(config, Conversion)), verbose=verbose, resumes=False, log_format=log_format)


def convert(wanted: Conversion) -> ExitStatus:
    """Prints a summary; the last line states the destination, and rows read = written + left out, by reason.

    Raises:
        JobError: the job is wrong, or the destination cannot be written.
        StoppedError: stopped; a local destination is unchanged.
    """
    Shutdown(grace_s=0).install()
    show(*run_conversion(wanted))
    return ExitStatus.DONE


if __name__ == "__main__":
    run_verb(main)
