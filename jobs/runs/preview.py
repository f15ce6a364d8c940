"""Counts the images that a command would process, without writing anything. Runs on the driver, for a dry run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.storage.uris import absolute
from actors.writing.records import Identity, read_records
from actors.writing.run_paths import RunPaths
from jobs.runs.commit import collect
from jobs.runs.opening import naming_the_output, new_entries, with_the_same_columns
from jobs.runs.redrive import open_inventory
from jobs.runs.run_choice import mode_of, named_run, unfinished_run

if TYPE_CHECKING:
    from actors.storage.store import Storage
    from actors.writing.records import Record
    from jobs.job import Job
    from jobs.runs.preflight import Preflight


@dataclass(frozen=True)
class Preview:
    """The run that a command would open or resume."""

    run_id: str | None
    """None for a new run."""
    num_listed: int
    """Images of the run, without those omitted by an incremental run."""
    num_done: int = 0
    """Number of images with an outcome."""

    @property
    def num_missing(self) -> int:
        return self.num_listed - self.num_done


def preview_run(job: Job, checked: Preflight, storage: Storage) -> Preview:
    """Lists images as `jobs.runs.opening.open_run` would. Takes no lease, and repairs and writes nothing.

    Raises:
        JobError: as in `open_run`, except that write access to the output is not checked.
    """
    root = absolute(job.output.path)
    identity = Identity(checked.fingerprint, checked.provenance["dataset_digest"], mode_of(job))
    with naming_the_output(job):
        records = read_records(root, storage)
    record = named_run(job, records, identity) if job.run.id else unfinished_run(job, records, identity)
    if record is not None and (resumed := _resumed(record, root, storage)):
        return resumed
    paths = RunPaths(root, checked.fingerprint, "")
    _, entries = new_entries(job, paths, storage, with_the_same_columns(records, checked))
    return Preview(None, sum(len(table) for table in entries))


def _resumed(record: Record, root: str, storage: Storage) -> Preview | None:
    """Returns None if the inventory is missing: a new run then takes the images."""
    paths = RunPaths(root, record.identity.fingerprint, record.run_id)
    shards = open_inventory(paths, storage)
    if shards is None:
        return None
    coverage = collect(paths, storage, shards.sizes).coverage
    return Preview(record.run_id, coverage.num_listed, coverage.num_rows)
