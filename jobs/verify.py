"""`python -m jobs.verify output.path=...`: proves or refutes, from the files alone, that runs hold what they list."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line
from actors.storage.store import Storage
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.terminal import show, show_text
from jobs.cli.verb_main import verb_main
from jobs.config import to_object
from jobs.verification.config import Verification
from jobs.verification.consistency import manifest_sha256
from jobs.verification.findings import Status, plural
from jobs.verification.output_files import list_output
from jobs.verification.run_check import verify_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from jobs.verification.output_files import Output

LOG = logging.getLogger("shardlens")


@verb_main("verify")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: verify(to_object(config, Verification)), verbose=verbose, resumes=False, log_format=log_format)


def verify(wanted: Verification) -> ExitStatus:
    """Prints a line for each run and each finding; the last line is the verdict on the whole output.

    Returns `ExitStatus.DONE` if everything published is proven, `ExitStatus.FAILED` if something is refuted, and
    `ExitStatus.STOPPED` if no run has ended, so that there is nothing to prove.

    Raises:
        JobError: the output or the run does not exist.
    """
    output = _open(wanted)
    # Stray files belong to no run, so that checking one run cannot refute them.
    strangers = () if wanted.run.id else output.strangers
    statuses, num_findings = [], len(strangers)
    for run_id in sorted(output.runs) if wanted.run.id is None else [wanted.run.id]:
        num_parts = plural(len(output.parts.get(run_id, ())), "part")
        # For the user to keep elsewhere: anyone who can write to the output can change both parts and manifest.
        LOG.info("run %s: %s; manifest.json has SHA-256 %s", run_id, num_parts, manifest_sha256(output, run_id))
        verdict = verify_run(output, run_id, wants_digest=wanted.digest, manifest_sha256=wanted.verify.manifest_sha256)
        show_text(*verdict.lines())
        statuses.append(verdict.status)
        num_findings += len(verdict.findings)
    show_text(*(f"output: stranger file: {name}" for name in strangers))
    return _end(statuses, num_findings)


def _open(wanted: Verification) -> Output:
    """Lists the files of the output, and checks that it contains the requested run."""
    _check_sha256(wanted)
    given = f"output.path={wanted.output.path}"
    try:
        output = list_output(wanted.output.path, Storage(wanted.output.storage_options))
    except (OSError, BaseError) as error:
        raise JobError(
            f"{given}: cannot be read: {one_line(error)}",
            fix="give a folder or prefix that you can read, and its region and credentials in output.storage_options",
        ) from error
    if not output.runs:
        raise JobError(f"{given}: there are no runs below it", fix="give the output.path of the job to verify")
    if wanted.run.id is not None and wanted.run.id not in output.runs:
        latest = ", ".join(sorted(output.runs)[-_NUM_NAMED:])
        raise JobError(f"run.id={wanted.run.id}: there is no such run in {output.root}", fix=f"the latest are {latest}")
    return output


def _check_sha256(wanted: Verification) -> None:
    sha256 = wanted.verify.manifest_sha256
    if sha256 is None:
        return
    if wanted.run.id is None:
        raise JobError(
            "verify.manifest_sha256: it is of one run, and run.id is not given", fix="name the run: run.id=…"
        )
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise JobError(
            f"verify.manifest_sha256={sha256}: not 64 hexadecimal digits",
            fix="give the output of sha256sum manifest.json, or of an earlier jobs.verify",
        )


def _end(statuses: Sequence[Status], num_findings: int) -> ExitStatus:
    # A run without an end claims nothing, and neither proves nor refutes the output.
    num_ended = sum(status is not Status.unfinished for status in statuses)
    num_open = len(statuses) - num_ended
    others = f"; {plural(num_open, 'run')} did not end" if num_open else ""
    if num_findings:
        num_refuted = sum(status is Status.refuted for status in statuses)
        show_text(
            f"refuted: {plural(num_findings, 'finding')}; {num_refuted} of {plural(num_ended, 'run')} refuted{others}"
        )
        return ExitStatus.FAILED
    if not num_ended:
        show(f"nothing to prove: {plural(num_open, 'run')} did not end")
        return ExitStatus.STOPPED
    show(f"proven: {plural(num_ended, 'run')}{others}")
    return ExitStatus.DONE


_NUM_NAMED = 5  # runs listed in an error message; ids begin with the time unless set by the user


if __name__ == "__main__":
    run_verb(main)
