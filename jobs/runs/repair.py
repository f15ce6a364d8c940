"""Repairs a published run whose files no longer match its manifest, before a later command relies on it: deletes late
parts, and withdraws a run that lacks parts so that it is resumed. Runs on the driver, while it holds the output's
lease.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from actors.storage.json_documents import MAX_BYTES, read_object
from actors.writing.run_paths import RunPaths
from jobs.runs.readable import Discrepancy, compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.storage.store import Storage
    from actors.writing.records import Identity, Record

LOG = logging.getLogger("shardlens")


def repair(
    records: Sequence[Record], root: str, storage: Storage, *, run_id: str | None, resumed: Sequence[Identity]
) -> list[Record]:
    """Returns ``records`` with withdrawn runs, which are to be resumed, first and no longer marked as published.

    Checks the latest published run that has images and the run that the command names, by file names and sizes only;
    `jobs.verify` checks the contents.

    Args:
        records: from `read_records`, latest first.
        root: `output.path`, absolute.
        storage: storage of the output.
        run_id: the run that the command names, if any.
        resumed: identities that the command would resume. No other run is withdrawn: nothing would redo its rows.
    """
    published = [record for record in records if record.is_published and record.num_listed]
    # Not all published runs, because each costs a listing of its folders at the start of every job.
    suspects = [record for record in published if record in published[:1] or record.run_id == run_id]
    repaired = [
        _repaired(record, root, storage, can_resume=record.identity in resumed) if record in suspects else record
        for record in records
    ]
    withdrawn = [record for record in repaired if record not in records]
    return withdrawn + [record for record in repaired if record in records]


def _repaired(record: Record, root: str, storage: Storage, *, can_resume: bool) -> Record:
    paths = RunPaths(root, record.identity.fingerprint, record.run_id)
    try:
        manifest = read_object(paths.manifest, storage, max_bytes=MAX_BYTES)
        found, has_moved = compare(manifest, paths, storage), "redriven_by" in manifest
        lost = f"{len(found.missing):,} of its parts are missing or damaged" if found.missing else ""
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        found, has_moved, lost = Discrepancy([], [], []), False, f"{paths.manifest} is missing or damaged"
    for uri in found.foreign:
        LOG.warning("%s is not a part of run %s, but readers include it: move it elsewhere", uri, record.run_id)
    if lost and (has_moved or not can_resume):
        fix = "remove its folders and run its command again" if has_moved else "run the command of that run again"
        LOG.error("run %s was published, but %s\n  fix: %s", record.run_id, lost, fix)
        return record
    if lost:
        LOG.warning("run %s was published, but %s; redoing the missing rows", record.run_id, lost)
        # Done before anything is redone: an incomplete run must not look published.
        storage.delete([paths.success])
        record = record.withdrawn()
    if found.late:
        number, first = f"{len(found.late):,}", found.late[0]
        LOG.warning(
            "run %s: deleting %s files written after it was published, such as %s", record.run_id, number, first
        )
        storage.delete(found.late)
    return record
