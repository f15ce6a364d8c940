"""Opening a run: its name, its folder, its fixed inventory. Runs on the driver before the cluster is needed."""

from __future__ import annotations

import json
import re
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line
from actors.run_paths import RunPaths
from actors.uris import absolute
from jobs.config import to_yaml
from jobs.inventory import write_inventory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from actors.shards import Shards
    from actors.storage import Storage
    from jobs.config import Job


def run_paths(job: Job, fingerprint: str) -> RunPaths:
    """Where the run of ``job`` lies. Without `run.id` the name is made from the time, and sorts by it.

    Raises:
        JobError: `run.id` cannot be the name of a folder.
    """
    run_id = job.run.id
    if run_id is None:
        run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", run_id):
        raise JobError(
            f"run.id={run_id}: not a name for a folder",
            cure="use letters, digits, dots, dashes and underscores, at most 100, a letter or digit first",
        )
    return RunPaths(absolute(job.output.path), fingerprint, run_id)


def open_run(job: Job, paths: RunPaths, storage: Storage, provenance: Mapping[str, str]) -> Shards | None:
    """Lists the dataset into the run's inventory; None where this very job has ended under that id already.

    Raises:
        JobError: another job ran under that id, or it did not end, or the dataset cannot be listed.
    """
    with _naming_the_output(job):
        if storage.kind(paths.success):
            _check_same_job(paths, storage, provenance)
            return None
        if storage.kind(paths.run):
            raise JobError(
                f"run.id={paths.run_id}: a run of that name began in {paths.root} and did not end",
                cure="choose another run.id, or remove that run's folders",
            )
        storage.write(paths.config, to_yaml(job).encode())
    return write_inventory(
        job.dataset.entries(),
        storage=storage,
        folder=paths.inventory,
        shard_size=job.run.shard_size,
        layout=job.dataset.layout,
        image_column=getattr(job.dataset, "image_column", None),
    )


@contextmanager
def _naming_the_output(job: Job) -> Iterator[None]:
    """What goes wrong at the first touch of `output.path` is the job's fault: it is not there, or not ours."""
    try:
        yield
    except (OSError, BaseError) as error:
        raise JobError(
            f"output.path={job.output.path}: cannot be written: {one_line(error)}",
            cure="give a folder or prefix that you may write to, and its region and keys in output.storage_options",
        ) from error


def _check_same_job(paths: RunPaths, storage: Storage, provenance: Mapping[str, str]) -> None:
    before = json.loads(storage.read(paths.manifest))
    for key, what in (("fingerprint", "model, pre-processing or task"), ("dataset_digest", "dataset")):
        if before[key] != provenance[key]:
            raise JobError(
                f"run.id={paths.run_id}: a job with another {what} ended under that name in {paths.root}",
                cure="choose another run.id",
            )
