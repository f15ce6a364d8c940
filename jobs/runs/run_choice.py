"""Which run a command goes on with: the one that `run.id` names, or the unfinished one of the same job. Runs on the
driver, which holds the output.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.errors import JobError
from jobs.job import Resume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.job import Job
    from jobs.runs.records import Identity, Record

LOG = logging.getLogger("shardlens")

REDRIVE = "redrive"
"""The mode of a run that tries error rows again."""


def mode_of(job: Job) -> str:
    """What a new run of ``job`` takes."""
    return REDRIVE if job.run.redrive else job.run.mode.value


def named_run(job: Job, records: Sequence[Record], identity: Identity) -> Record | None:
    """The run that `run.id` names; None where there is none yet."""
    record = next((record for record in records if record.run_id == job.run.id), None)
    if record is None:
        return None
    if job.run.redrive and record.is_published:
        raise JobError(
            f"run.id={record.run_id}: that run has ended",
            cure="leave run.id away, or name a new one: the error rows of all runs are tried again in a run of its own",
        )
    differences = [record.identity.difference(wanted) for wanted in resumed_by(job, identity)]
    if all(differences):
        raise JobError(
            f"run.id={record.run_id}: a job with another {differences[-1]} ran under that name in {job.output.path}",
            cure="choose another run.id",
        )
    return record if record.is_published else _resumable(job, record)


def unfinished_run(job: Job, records: Sequence[Record], identity: Identity) -> Record | None:
    """The latest run of the same job that did not end. The others are told of, and left as they are."""
    unfinished = [record for record in records if not record.is_published]
    fitting = [record for wanted in resumed_by(job, identity) for record in unfinished if record.identity == wanted]
    for record in unfinished:
        if record not in fitting[:1]:
            difference = record.identity.difference(identity)
            why = f"is of another {difference}" if difference else "comes after another one"
            LOG.warning("run %s did not end and %s: it is left as it is", record.run_id, why)
    return _resumable(job, fitting[0]) if fitting else None


def resumed_by(job: Job, identity: Identity) -> list[Identity]:
    """The runs that ``job`` may go on with: its own, and where it tries errors again, also the plain ones."""
    return [identity, replace(identity, mode=job.run.mode.value)] if job.run.redrive else [identity]


def _resumable(job: Job, record: Record) -> Record:
    if job.run.resume is Resume.never:
        raise JobError(
            f"run.resume=never: run {record.run_id} of this job, opened at {record.opened_at}, did not end",
            cure="leave run.resume away to go on with it, or remove its folders to begin anew",
        )
    return record
