"""Chooses the run that a command resumes (the one named by `run.id`, or the unfinished run of the same job) or names a
new one. Runs on the driver, while it holds the lease of the output.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.writing.records import FOLDER_NAME
from jobs.job import Resume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.writing.records import Identity, Record
    from jobs.job import Job

LOG = logging.getLogger("shardlens")

REDRIVE = "redrive"
"""Mode of a run that retries error rows."""


def mode_of(job: Job) -> str:
    """Returns the mode of a new run of ``job``: ``incremental``, ``full`` or `REDRIVE`."""
    return REDRIVE if job.run.redrive else job.run.mode.value


def run_id_of(job: Job) -> str:
    """Returns `run.id`, or by default a name made from the UTC time, so that names sort by age.

    Raises:
        JobError: `run.id` is not a valid folder name.
    """
    run_id = job.run.id
    if run_id is None:
        # The random suffix distinguishes runs that start in the same second.
        return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    if not FOLDER_NAME.fullmatch(run_id):
        raise JobError(
            f"run.id={run_id}: not a valid folder name",
            fix="use at most 100 letters, digits, dots, dashes and underscores, starting with a letter or digit",
        )
    return run_id


def named_run(job: Job, records: Sequence[Record], identity: Identity) -> Record | None:
    """Returns the record of the run that `run.id` names, or None if it does not exist yet."""
    record = next((record for record in records if record.run_id == job.run.id), None)
    if record is None:
        return None
    # A redrive is a separate run: without this, its id would resume a run with nothing to do.
    if job.run.redrive and record.is_published:
        raise JobError(
            f"run.id={record.run_id}: that run is already published",
            fix="omit run.id, or choose a new one: run.redrive retries the error rows of all runs in a new run",
        )
    differences = [record.identity.difference(wanted) for wanted in resumed_by(job, identity)]
    if all(differences):
        raise JobError(
            f"run.id={record.run_id}: a job with a different {differences[-1]} used that id in {job.output.path}",
            fix="choose another run.id",
        )
    return record if record.is_published else _resumable(job, record)


def unfinished_run(job: Job, records: Sequence[Record], identity: Identity) -> Record | None:
    """Returns the record of the latest unfinished run of the same job. Warns of each other one, which stays
    untouched.
    """
    unfinished = [record for record in records if not record.is_published]
    fitting = [record for wanted in resumed_by(job, identity) for record in unfinished if record.identity == wanted]
    for record in unfinished:
        if record not in fitting[:1]:
            difference = record.identity.difference(identity)
            why = f"has a different {difference}" if difference else "is not the latest one"
            LOG.warning("run %s is unfinished but %s; leaving it alone", record.run_id, why)
    return _resumable(job, fitting[0]) if fitting else None


def resumed_by(job: Job, identity: Identity) -> list[Identity]:
    """Returns the identities of the runs that ``job`` may resume: its own and, for a redrive, the one without
    redrive.
    """
    return [identity, replace(identity, mode=job.run.mode.value)] if job.run.redrive else [identity]


def _resumable(job: Job, record: Record) -> Record:
    if job.run.resume is Resume.never:
        raise JobError(
            f"run.resume=never: run {record.run_id} of this job, opened at {record.opened_at}, is unfinished",
            fix="omit run.resume to resume that run, or remove its folders to start over",
        )
    return record
