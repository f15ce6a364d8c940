"""`python -m jobs.report output.path=...`: writes the report of a published run, with pictures, from storage alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.outputs import open_output
from actors.storage.store import Storage
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.shutdown import Shutdown
from jobs.cli.terminal import show
from jobs.cli.verb_main import verb_main
from jobs.config import to_object
from jobs.pages.config import Reporting
from jobs.pages.page_file import write_page

if TYPE_CHECKING:
    from omegaconf import DictConfig


@verb_main("report")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: report(to_object(config, Reporting)), verbose=verbose, resumes=False, log_format=log_format)


def report(wanted: Reporting) -> ExitStatus:
    """Writes ``report.html`` into the folder of the run, replacing an earlier one, and prints its path.

    Raises:
        JobError: there is no such run, its documents are damaged, or the page cannot be written.
        StoppedError: stopped; an earlier page is unchanged.
    """
    Shutdown(grace_s=0).install()
    if wanted.report.pictures < 0:
        raise JobError(f"report.pictures={wanted.report.pictures}: below 0", fix="use 0 to omit pictures")
    output = open_output(wanted.output.path, wanted.output.storage_options)
    run = output.run(wanted.run.id, key="run.id") if wanted.run.id else output.runs()[0]
    given = wanted.dataset.storage_options
    try:
        page = write_page(run, pictures=wanted.report.pictures, image_storage=Storage(given) if given else None)
    except (OSError, BaseError, ValueError) as error:
        raise JobError(
            f"{redacted(run.paths.run)}: its report cannot be made: {one_line(error)}",
            fix=f"python -m jobs.verify output.path=… run.id={run.run_id} names all that is wrong",
        ) from error
    show(redacted(page))  # the contract: the last line on standard output
    return ExitStatus.DONE


if __name__ == "__main__":
    run_verb(main)
