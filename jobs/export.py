"""`python -m jobs.export +dataset=... export.path=...`: writes a model in several forms into one folder, each with a
proof that it makes the same predictions.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.engines.configs import default_engine
from actors.exporting.bundle_folder import check_place
from actors.storage.store import Storage
from actors.storage.uris import absolute, redacted
from jobs.bundling.bundle import check_forms, export_bundle
from jobs.bundling.table import NUM_TEXTS, failures_of, table_of
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.phases import phase
from jobs.cli.shutdown import Shutdown
from jobs.cli.terminal import show, show_columns
from jobs.cli.verb_main import verb_main
from jobs.config import to_export_job
from jobs.runs.bundle_choice import with_form
from jobs.runs.preflight import preflight

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from jobs.bundling.config import ExportJob

LOG = logging.getLogger("shardlens")


@verb_main("export")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: export(to_export_job(config)), verbose=verbose, resumes=False, log_format=log_format)


def export(job: ExportJob) -> ExitStatus:
    """Prints the parity table, then the path of the bundle, if any, on the last line of standard output.

    Returns `ExitStatus.JOB_WRONG` if a form fails: the bundle then contains the others.

    Raises:
        JobError: the job is wrong; nothing is written.
        StoppedError: stopped; nothing is written.
    """
    Shutdown(job.run.grace_s).install()
    with phase("checking the model"):
        job = with_form(job)
        check_forms(job)
    uri, storage = absolute(job.export.path), Storage(job.output.storage_options)
    # The fingerprint must not depend on the engine, which the forms decide.
    job = replace(job, engine=default_engine(job.model))
    with phase("checking the model"):
        checked = preflight(job)
    if checked.loaded:
        checked.loaded.release()
    check_place(uri, storage, checked.fingerprint, overwrite=job.export.overwrite)
    with phase("exporting and comparing"):
        exported = export_bundle(job, checked, uri, storage)
    show_columns(table_of(exported.rows), num_texts=NUM_TEXTS)
    show(*failures_of(exported.rows))
    failed = [row for row in exported.rows if not row.passed]
    if failed:
        names = ", ".join(f"{row.form} {row.precision}" for row in failed)
        rest = "the bundle has the other forms" if exported.is_written else "nothing was written"
        LOG.error("export.formats: %s: refused, for the reasons above; %s", names, rest)
    if exported.is_written:
        show(redacted(uri))  # the contract: the last line on standard output
    return ExitStatus.JOB_WRONG if failed else ExitStatus.DONE


if __name__ == "__main__":
    run_verb(main)
