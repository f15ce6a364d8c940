"""Opens a run: resumes an unfinished one, or creates a new one with a name, a folder and a fixed inventory. Runs on the
driver, while it holds the lease of the output, before the cluster is needed.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.fault_injection import fault
from actors.storage.uris import absolute
from actors.writing.records import Identity, Record, read_records, write_record
from actors.writing.run_paths import RunPaths
from jobs.cli.phases import show_detail
from jobs.config import to_yaml
from jobs.datasets.labels import warn_of_strangers
from jobs.datasets.passed_over import PassedOver
from jobs.job import Mode, Resume
from jobs.leases.lease import cannot_be_written
from jobs.leases.slices import Slice
from jobs.runs.commit import collect
from jobs.runs.incremental import done_images, only_new
from jobs.runs.inventory import write_inventory
from jobs.runs.redrive import drop_errors, error_entries, open_inventory, settle
from jobs.runs.repair import repair
from jobs.runs.repeated_ids import RepeatedIds
from jobs.runs.run_choice import REDRIVE, mode_of, named_run, resumed_by, run_id_of, unfinished_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from actors.reading.shards import Shards
    from actors.storage.store import Storage
    from jobs.job import Job
    from jobs.runs.commit import Outcome
    from jobs.runs.preflight import Preflight

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Run:
    """A run that is open, or was already published."""

    job: Job
    checked: Preflight
    storage: Storage
    paths: RunPaths
    record: Record
    shards: Shards
    """Its inventory."""
    is_addition: bool = False
    """True if published runs with the same model and columns exist, to which it adds new images."""
    previous: Record | None = None
    """The latest other published run with the same model, columns and any images."""

    @property
    def part(self) -> Slice:
        """The slice of the run that this driver processes."""
        return Slice.of(self.job.run)

    @property
    def report(self) -> str:
        """URI of this driver's report: that of the run, or of its slice."""
        part = self.part
        return self.paths.report if part.is_whole else self.paths.slice_report(part.index, part.count)

    def collect(self, *, before: Outcome | None = None) -> Outcome:
        """Returns the valid parts of the run, and the rows left for this driver; ``before`` is an earlier outcome."""
        sizes = self.shards.sizes
        return collect(self.paths, self.storage, sizes, own=self.part.owns(len(sizes)), before=before)


def open_run(job: Job, checked: Preflight, storage: Storage) -> Run:
    """Opens the run that `run.id` names, else the unfinished run of the same job, else creates one.

    Raises:
        JobError: the run that `run.id` names belongs to another job or may not be resumed, the dataset cannot be
            listed, or the output cannot be written.
    """
    root = absolute(job.output.path)
    identity = Identity(checked.fingerprint, checked.provenance["dataset_digest"], mode_of(job))
    with naming_the_output(job):
        records = read_records(root, storage)
        settle(records, root, storage)
        resumed = [] if job.run.resume is Resume.never else resumed_by(job, identity)
        records = repair(records, root, storage, run_id=job.run.id, resumed=resumed)
    earlier = with_the_same_columns(records, checked)
    record = named_run(job, records, identity) if job.run.id else unfinished_run(job, records, identity)
    shards = _inventory_of(job, record, root, storage) if record else None
    if record is None or shards is None:
        paths = RunPaths(root, checked.fingerprint, run_id_of(job))
        _refuse_damaged(job, paths, [found.run_id for found in records], storage)
        record, shards = _begin(job, checked, paths, storage, earlier, identity)
        return Run(job, checked, storage, paths, record, shards, *_neighbours(record, earlier))
    paths = RunPaths(root, checked.fingerprint, record.run_id)
    run = Run(job, checked, storage, paths, record, shards, *_neighbours(record, earlier))
    if not record.is_published:
        LOG.info("resuming run %s, opened at %s", record.run_id, record.opened_at)
        if job.run.redrive and (record.identity.mode != REDRIVE or _has_failed(run)):
            drop_errors(paths, storage)
    return run


def _refuse_damaged(job: Job, paths: RunPaths, known: Sequence[str], storage: Storage) -> None:
    """Raises JobError if a new run would overwrite one whose record cannot be read."""
    if job.run.id and paths.run_id not in known and storage.kind(paths.record) is not None:
        raise JobError(
            f"run.id={paths.run_id}: the run's run.json is damaged, so its job is unknown",
            fix="restore run.json, or choose another run.id",
        )


def _neighbours(record: Record, earlier: Sequence[Record]) -> tuple[bool, Record | None]:
    """`Run.is_addition` and `Run.previous`."""
    previous = next((one for one in earlier if one.num_listed and one.run_id != record.run_id), None)
    return previous is not None and record.identity.mode == Mode.incremental.value, previous


def _inventory_of(job: Job, record: Record, root: str, storage: Storage) -> Shards | None:
    """Returns the inventory of a run to resume, or None if it is missing or damaged: a new run then takes its
    images.
    """
    shards = open_inventory(RunPaths(root, record.identity.fingerprint, record.run_id), storage)
    if shards is None and job.run.id:
        raise JobError(
            f"run.id={record.run_id}: the run's inventory is missing or damaged, so its images are unknown",
            fix="restore the inventory, or choose another run.id",
        )
    return shards


def _has_failed(run: Run) -> bool:
    """Returns True if every image has an outcome. As the run is still unpublished, its errors are to be retried."""
    return run.part.is_whole and not run.collect().coverage.num_missing


def _begin(
    job: Job, checked: Preflight, paths: RunPaths, storage: Storage, earlier: Sequence[Record], identity: Identity
) -> tuple[Record, Shards]:
    """Lists the images of a new run and records that the run is open."""
    redrives, entries = new_entries(job, paths, storage, earlier)
    entries = warn_of_strangers(entries, checked.labels)
    with naming_the_output(job):
        storage.write(paths.config, to_yaml(job).encode())
    with RepeatedIds() as ids:
        shards = write_inventory(
            ids.watch(entries),
            storage=storage,
            folder=paths.inventory,
            shard_size=job.run.shard_size,
            layout=job.dataset.layout,
            image_column=getattr(job.dataset, "image_column", None),
        )
        num_repeated = ids.log_count(shards)
    fault("open.listed")
    passed_over = PassedOver() if job.run.redrive else job.dataset.passed_over
    passed_over.log()
    record = Record(
        run_id=paths.run_id,
        identity=identity,
        columns_digest=checked.provenance["columns_digest"],
        opened_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        num_listed=shards.num_rows,
        num_shards=shards.num_shards,
        inventory_digest=str(shards.digest),
        redrives=redrives,
        passed_over=passed_over.to_json(),
    )
    write_record(record, paths, storage, {**checked.provenance, "num_repeated_ids": num_repeated})
    fault("open.recorded")
    return record, shards


def new_entries(
    job: Job, paths: RunPaths, storage: Storage, earlier: Sequence[Record]
) -> tuple[list[str], Iterator[pa.Table]]:
    """Returns the runs that a redrive retries, and the images of a new run of ``job``, given the ``earlier`` ones."""
    if job.run.redrive:
        return error_entries(earlier, paths.root, storage, job.dataset)
    entries = _counted(job.dataset.entries())
    if job.run.mode is Mode.incremental:
        entries = only_new(entries, done_images(_inventories(earlier, paths, storage)))
    return [], entries


def _counted(entries: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Shows the number of images while they are listed."""
    num_listed = 0
    for table in entries:
        num_listed += len(table)
        show_detail(f"{num_listed:,} images so far")
        yield table


def _inventories(records: Sequence[Record], paths: RunPaths, storage: Storage) -> Iterator[Shards]:
    """Yields inventories of the runs that list any images, opened ahead of time. Omits missing or damaged ones, with a
    warning.
    """
    listed = [replace(paths, run_id=record.run_id) for record in records if record.num_listed]
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from filter(None, pool.map(lambda earlier: open_inventory(earlier, storage), listed))


_THREADS = 16  # inventories opened concurrently; each takes a few small storage requests


def with_the_same_columns(records: Sequence[Record], checked: Preflight) -> list[Record]:
    """Returns published runs of the same model whose rows have the same columns as this job's."""
    return [
        record
        for record in records
        if record.is_published
        and record.identity.fingerprint == checked.fingerprint
        and record.columns_digest == checked.provenance["columns_digest"]
    ]


@contextmanager
def naming_the_output(job: Job) -> Iterator[None]:
    """Converts errors on first access to `output.path` to JobError: the path or its permissions are wrong."""
    try:
        yield
    except (OSError, BaseError) as error:
        raise cannot_be_written(job.output.path, error) from error
