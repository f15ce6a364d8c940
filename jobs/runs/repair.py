"""Mends a published run that storage no longer bears out, before a later command relies on it: parts that came too late
are removed, and a run that lacks parts is withdrawn, to be gone on with. Runs on the driver, which holds the output.
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
    from jobs.runs.records import Identity, Record

LOG = logging.getLogger("shardlens")


def repair(
    records: Sequence[Record], root: str, storage: Storage, *, run_id: str | None, resumed: Sequence[Identity]
) -> list[Record]:
    """The ``records``, those of withdrawn runs first, which are no longer published: they are to be gone on with.

    Looks at the latest published run that has images, and at the one that the command names, by names and sizes alone:
    `jobs.verify` reads what is in the files.

    Args:
        records: what `read_records` gives, the latest first.
        root: `output.path`, absolute.
        storage: holds it.
        run_id: the run that the command names, if any.
        resumed: what the command would go on with. No other run is withdrawn, as nobody would do its rows again.
    """
    published = [record for record in records if record.is_published and record.num_listed]
    suspects = [record for record in published if record in published[:1] or record.run_id == run_id]
    mended = [
        _mended(record, root, storage, can_resume=record.identity in resumed) if record in suspects else record
        for record in records
    ]
    withdrawn = [record for record in mended if record not in records]
    return withdrawn + [record for record in mended if record in records]


def _mended(record: Record, root: str, storage: Storage, *, can_resume: bool) -> Record:
    paths = RunPaths(root, record.identity.fingerprint, record.run_id)
    try:
        manifest = read_object(paths.manifest, storage, max_bytes=MAX_BYTES)
        found, has_moved = compare(manifest, paths, storage), "redriven_by" in manifest
        lost = f"{len(found.missing):,} of its parts are gone or damaged" if found.missing else ""
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        found, has_moved, lost = Discrepancy([], [], []), False, f"{paths.manifest} is gone or damaged"
    for uri in found.foreign:
        LOG.warning("%s is no part of run %s, and readers take it for rows: move it away", uri, record.run_id)
    if lost and (has_moved or not can_resume):
        cure = "remove its folders and give its command again" if has_moved else "give its own command again"
        LOG.error("run %s was published, but %s\n  cure: %s", record.run_id, lost, cure)
        return record
    if lost:
        LOG.warning("run %s was published, but %s: what is missing is done again", record.run_id, lost)
        storage.delete([paths.success])
        record = record.withdrawn()
    if found.late:
        number, first = f"{len(found.late):,}", found.late[0]
        LOG.warning("run %s: what came too late is removed (files: %s), such as %s", record.run_id, number, first)
        storage.delete(found.late)
    return record
