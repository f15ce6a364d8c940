"""Opening a run: which one to go on with, or a new one with its name, its folder and its fixed inventory. Runs on the
driver, which holds the output, before the cluster is needed.
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
from actors.faults import fault
from actors.run_paths import RunPaths
from actors.uris import absolute
from jobs.commit import collect
from jobs.config import Mode, Resume, to_yaml
from jobs.datasets.labels import warn_of_strangers
from jobs.datasets.passed_over import PassedOver
from jobs.incremental import done_images, only_new
from jobs.inventory import write_inventory
from jobs.lease import cannot_be_written
from jobs.records import Identity, Record, read_records, run_id_of, write_record
from jobs.redrive import drop_errors, error_entries, open_inventory, settle
from jobs.repair import repair
from jobs.repeated_ids import RepeatedIds
from jobs.slices import Slice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.shards import Shards
    from actors.storage import Storage
    from jobs.commit import Outcome
    from jobs.config import Job
    from jobs.preflight import Preflight

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Run:
    """A run that is open, or has ended before."""

    job: Job
    checked: Preflight
    storage: Storage
    paths: RunPaths
    record: Record
    shards: Shards
    """Its inventory."""
    is_addition: bool = False
    """Whether it adds new images to those that published runs of the same model and columns have."""

    @property
    def part(self) -> Slice:
        """What this driver does of it."""
        return Slice.of(self.job.run)

    def collect(self, *, before: Outcome | None = None) -> Outcome:
        """What stands of the run, and what is left to this driver; ``before`` was collected earlier."""
        sizes = self.shards.sizes
        return collect(self.paths, self.storage, sizes, own=self.part.owns(len(sizes)), before=before)


def open_run(job: Job, checked: Preflight, storage: Storage) -> Run:
    """The unfinished run of this very job, else a new one with its inventory; or the one that `run.id` names.

    Raises:
        JobError: the run that `run.id` names is of another job, or may not be resumed; the dataset cannot be listed,
            or the output not be written.
    """
    root = absolute(job.output.path)
    identity = Identity(checked.fingerprint, checked.provenance["dataset_digest"], _mode(job))
    with _naming_the_output(job):
        records = read_records(root, storage)
        settle(records, root, storage)
        resumed = [] if job.run.resume is Resume.never else _resumed_by(job, identity)
        records = repair(records, root, storage, run_id=job.run.id, resumed=resumed)
    earlier = _with_the_same_columns(records, checked)
    record = _named(job, records, identity) if job.run.id else _unfinished(job, records, identity)
    shards = _inventory_of(job, record, root, storage) if record else None
    if record is None or shards is None:
        paths = RunPaths(root, checked.fingerprint, run_id_of(job))
        _refuse_damaged(job, paths, [found.run_id for found in records], storage)
        record, shards = _begin(job, checked, paths, storage, earlier, identity)
        return Run(job, checked, storage, paths, record, shards, _is_addition(record, earlier))
    paths = RunPaths(root, checked.fingerprint, record.run_id)
    run = Run(job, checked, storage, paths, record, shards, _is_addition(record, earlier))
    if not record.is_published:
        LOG.info("run %s, opened at %s, did not end: going on with it", record.run_id, record.opened_at)
        if job.run.redrive and (record.identity.mode != _REDRIVE or _has_failed(run)):
            drop_errors(paths, storage)
    return run


def _refuse_damaged(job: Job, paths: RunPaths, known: Sequence[str], storage: Storage) -> None:
    """Raises JobError where a new run would write over one whose record cannot be read."""
    if job.run.id and paths.run_id not in known and storage.kind(paths.record) is not None:
        raise JobError(
            f"run.id={paths.run_id}: its run.json is damaged, so that nobody can say what that run was",
            cure="put back what was there, or choose another run.id",
        )


def _is_addition(record: Record, earlier: Sequence[Record]) -> bool:
    others = [one for one in earlier if one.num_listed and one.run_id != record.run_id]
    return bool(others) and record.identity.mode == Mode.incremental.value


def _inventory_of(job: Job, record: Record, root: str, storage: Storage) -> Shards | None:
    """The inventory of a run to go on with. None where it is gone or damaged, so that another run takes its images."""
    shards = open_inventory(RunPaths(root, record.identity.fingerprint, record.run_id), storage)
    if shards is None and job.run.id:
        raise JobError(
            f"run.id={record.run_id}: its inventory is gone or damaged, so that nobody can say which images it has",
            cure="put back what was there, or choose another run.id",
        )
    return shards


_REDRIVE = "redrive"


def _has_failed(run: Run) -> bool:
    """Whether every image has an outcome, and still the run was not published: its errors are to be tried once more."""
    return run.part.is_whole and not run.collect().coverage.num_missing


def _mode(job: Job) -> str:
    return _REDRIVE if job.run.redrive else job.run.mode.value


def _named(job: Job, records: Sequence[Record], identity: Identity) -> Record | None:
    """The run that `run.id` names; None where there is none yet."""
    record = next((record for record in records if record.run_id == job.run.id), None)
    if record is None:
        return None
    if job.run.redrive and record.is_published:
        raise JobError(
            f"run.id={record.run_id}: that run has ended",
            cure="leave run.id away, or name a new one: the error rows of all runs are tried again in a run of its own",
        )
    differences = [record.identity.difference(wanted) for wanted in _resumed_by(job, identity)]
    if all(differences):
        raise JobError(
            f"run.id={record.run_id}: a job with another {differences[-1]} ran under that name in {job.output.path}",
            cure="choose another run.id",
        )
    return record if record.is_published else _resumable(job, record)


def _unfinished(job: Job, records: Sequence[Record], identity: Identity) -> Record | None:
    """The latest run of the same job that did not end. The others are told of, and left as they are."""
    unfinished = [record for record in records if not record.is_published]
    fitting = [record for wanted in _resumed_by(job, identity) for record in unfinished if record.identity == wanted]
    for record in unfinished:
        if record not in fitting[:1]:
            difference = record.identity.difference(identity)
            why = f"is of another {difference}" if difference else "comes after another one"
            LOG.warning("run %s did not end and %s: it is left as it is", record.run_id, why)
    return _resumable(job, fitting[0]) if fitting else None


def _resumed_by(job: Job, identity: Identity) -> list[Identity]:
    """The runs that ``job`` may go on with: its own, and where it tries errors again, also the plain ones."""
    return [identity, replace(identity, mode=job.run.mode.value)] if job.run.redrive else [identity]


def _resumable(job: Job, record: Record) -> Record:
    if job.run.resume is Resume.never:
        raise JobError(
            f"run.resume=never: run {record.run_id} of this job, opened at {record.opened_at}, did not end",
            cure="leave run.resume away to go on with it, or remove its folders to begin anew",
        )
    return record


def _begin(
    job: Job, checked: Preflight, paths: RunPaths, storage: Storage, earlier: Sequence[Record], identity: Identity
) -> tuple[Record, Shards]:
    """Lists what a new run takes, and writes down that the run is open."""
    redrives: list[str] = []
    entries = job.dataset.entries()
    if job.run.redrive:
        redrives, entries = error_entries(earlier, paths.root, storage, job.dataset)
    elif job.run.mode is Mode.incremental:
        entries = only_new(entries, done_images(_inventories(earlier, paths, storage)))
    entries = warn_of_strangers(entries, checked.labels)
    with _naming_the_output(job):
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
        num_repeated = ids.tell(shards)
    fault("open.listed")
    passed_over = PassedOver() if job.run.redrive else job.dataset.passed_over
    passed_over.tell()
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


def _inventories(records: Sequence[Record], paths: RunPaths, storage: Storage) -> Iterator[Shards]:
    """Those of runs that have any images, opened ahead; without those that are gone or damaged, which is told."""
    listed = [replace(paths, run_id=record.run_id) for record in records if record.num_listed]
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from filter(None, pool.map(lambda earlier: open_inventory(earlier, storage), listed))


_THREADS = 16


def _with_the_same_columns(records: Sequence[Record], checked: Preflight) -> list[Record]:
    """The published runs of the same model whose rows have the columns that those of this job would have."""
    return [
        record
        for record in records
        if record.is_published
        and record.identity.fingerprint == checked.fingerprint
        and record.columns_digest == checked.provenance["columns_digest"]
    ]


@contextmanager
def _naming_the_output(job: Job) -> Iterator[None]:
    """What goes wrong at the first touch of `output.path` is the job's fault: it is not there, or not ours."""
    try:
        yield
    except (OSError, BaseError) as error:
        raise cannot_be_written(job.output.path, error) from error
