"""`python -m jobs.compare a=RUN b=RUN output.path=...`: compares the predictions of two published runs by image."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line
from actors.storage.store import Storage
from actors.storage.uris import absolute, join, redacted
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.shutdown import Shutdown
from jobs.cli.terminal import show
from jobs.cli.verb_main import verb_main
from jobs.comparison.config import Comparison
from jobs.comparison.findings import compare_runs
from jobs.comparison.gates import breaches, check, check_limits
from jobs.comparison.page import make_page
from jobs.comparison.pictures import make_pictures
from jobs.comparison.sides import find_run
from jobs.comparison.table import lines_of
from jobs.comparison.tasks import answers_of
from jobs.config import to_object

if TYPE_CHECKING:
    from omegaconf import DictConfig

LOG = logging.getLogger("shardlens")


@verb_main("compare")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: compare(to_object(config, Comparison)), verbose=verbose, resumes=False, log_format=log_format)


def compare(wanted: Comparison) -> ExitStatus:
    """Prints the differences, writes comparison.json and comparison.html, and prints the page's path on the last line.

    Returns `ExitStatus.OVER_BUDGET` if a limit is exceeded.

    Raises:
        JobError: the job is wrong, or a file cannot be read or written.
        StoppedError: stopped.
    """
    Shutdown(grace_s=0).install()
    options = wanted.compare
    a, b = (find_run(key, getattr(wanted, key), wanted.output) for key in ("a", "b"))
    answers = answers_of(a, b)
    check_limits(options, a.config["task"]["name"], answers.limits)
    findings = compare_runs(a, b, answers)
    limits = check(options, findings)
    show(*lines_of(findings))
    folder = absolute(options.path) if options.path else b.paths.comparison(a.run_id)
    storage = Storage(wanted.output.storage_options)
    document = {**findings.to_json(), "limits": limits}
    _write(
        join(folder, "comparison.json"), json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False), storage
    )
    given = wanted.dataset.storage_options
    pictures = make_pictures(findings, options.pictures, Storage(given) if given else None)
    page = join(folder, "comparison.html")
    _write(page, make_page(findings, limits, pictures), storage)
    failed = breaches(limits)
    for message in failed:
        LOG.error("%s", message)
    show(redacted(page))  # the contract: the last line on standard output
    return ExitStatus.OVER_BUDGET if failed else ExitStatus.DONE


def _write(uri: str, text: str, storage: Storage) -> None:
    try:
        storage.write(uri, text.encode())
    except (OSError, BaseError) as error:
        raise JobError(
            f"{redacted(uri)}: cannot be written: {one_line(error)}",
            fix="give a folder or prefix that you may write to: compare.path=PATH",
        ) from error


if __name__ == "__main__":
    run_verb(main)
