"""Removes a run without images if an earlier run can replace it. Runs on the driver, while it holds the output."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.messages import writing_to
from actors.storage.uris import is_remote
from actors.storage.whole_folders import path_of
from jobs.runs.redrive import open_inventory

if TYPE_CHECKING:
    from jobs.runs.opening import Run

LOG = logging.getLogger("shardlens")


def without_empty(run: Run) -> Run:
    """Returns ``run`` or, if it lists no image, the latest earlier run with images, and removes the folder of ``run``.

    Keeps a run named by `run.id`, a run with `run.keep_empty`, and the first run of an output, which alone proves that
    the dataset was empty.
    """
    options, previous = run.job.run, run.previous
    is_asked = options.keep_empty or options.id is not None
    if run.record.num_listed or run.record.is_published or is_asked or previous is None:
        return run
    paths = replace(run.paths, run_id=previous.run_id)
    shards = open_inventory(paths, run.storage)
    if shards is None:
        return run
    LOG.info("no new image: nothing to do; run %s has the latest ones", previous.run_id)
    with writing_to(run.paths.run):
        _remove(run)
    return replace(run, record=previous, paths=paths, shards=shards, previous=None)


def _remove(run: Run) -> None:
    # Deleted first: without its record, the rest of a folder belongs to no run.
    run.storage.delete([run.paths.record])
    if is_remote(run.paths.run):
        run.storage.delete(uri for batch in run.storage.list(run.paths.run) for uri in batch["uri"].to_pylist())
    else:
        shutil.rmtree(path_of(run.paths.run))
