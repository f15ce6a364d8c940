"""Retries failed images: the error rows of published runs form a new run. Once that run is published, they are removed
from ``errors/`` of their old runs. Runs on the driver.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.columns import ROW, SHARD, SIZE, URI, VERSION
from actors.errors import CredentialsError
from actors.messages import one_line, writing_to
from actors.reading.shards import Layout, Shards
from actors.storage.damage import is_damage
from actors.storage.json_documents import MAX_BYTES, read_object
from actors.writing.run_paths import RunPaths
from jobs.datasets.image_versions import Versions
from jobs.datasets.listed_files import describe
from jobs.datasets.manifest import ManifestDataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.storage.store import Storage
    from actors.writing.records import Record
    from jobs.datasets.base import Dataset

LOG = logging.getLogger("shardlens")


def error_entries(
    records: Sequence[Record], root: str, storage: Storage, dataset: Dataset
) -> tuple[list[str], Iterator[pa.Table]]:
    """Returns the ids of the runs with error rows not yet taken over by another run, and these rows as entries of a new
    inventory. Plain files get their current size and version.
    """
    manifests = {record.run_id: _read_manifest(RunPaths(root, "", record.run_id), storage) for record in records}
    failed = {
        run_id: found
        for run_id, found in manifests.items()
        if found and found["num_errors"] and "redriven_by" not in found
    }
    inventories = {run_id: open_inventory(RunPaths(root, "", run_id), storage) for run_id in failed}
    failed = {run_id: found for run_id, found in failed.items() if _can_be_loaded(inventories[run_id], found, run_id)}
    LOG.info("retrying %s error rows of %s runs", sum(m["num_errors"] for m in failed.values()), len(failed))

    def entries() -> Iterator[pa.Table]:
        # The inventory needs a schema even if no row failed.
        yield next(dataset.entries()).slice(0, 0)
        for run_id, manifest in failed.items():
            if (shards := inventories[run_id]) is not None:
                yield from _error_rows(shards, manifest, dataset)

    return list(failed), entries()


def settle(records: Sequence[Record], root: str, storage: Storage) -> None:
    """Completes redrives: removes error rows from their old runs once the run that retried them is published.

    The next job on this output completes an interrupted move. Skips old runs that have been removed since.
    """
    for record in records:
        for run_id in record.redrives if record.is_published else ():
            paths = RunPaths(root, record.identity.fingerprint, run_id)
            manifest = _read_manifest(paths, storage)
            if manifest is None:
                continue
            # Manifest first: a crash before the deletion leaves files that the next job deletes, never rows with two
            # owners.
            if "redriven_by" not in manifest:
                _write_manifest(manifest | {"redriven_by": record.run_id}, paths, storage)
            drop_errors(paths, storage)


def drop_errors(paths: RunPaths, storage: Storage) -> None:
    """Deletes the error files of a run. If the run is not published, their rows count as missing again."""
    if storage.kind(paths.errors):
        storage.delete(uri for batch in storage.list(paths.errors) for uri in batch["uri"].to_pylist())


_THREADS = 16  # concurrent storage requests


def open_inventory(paths: RunPaths, storage: Storage) -> Shards | None:
    """Opens the inventory of an earlier run. Returns None, with a warning, if it is missing or damaged."""
    try:
        return Shards.open(storage, paths.inventory)
    except Exception as error:
        if not (isinstance(error, FileNotFoundError) or is_damage(error)):
            raise
        LOG.warning("run %s: inventory missing or damaged (%s); treating its images as new", paths.run_id, error)
        return None


def _write_manifest(manifest: dict[str, Any], paths: RunPaths, storage: Storage) -> None:
    with writing_to(paths.run):
        storage.write(paths.manifest, json.dumps(manifest, indent=1).encode())


def _read_manifest(paths: RunPaths, storage: Storage) -> dict[str, Any] | None:
    """Reads the manifest. Returns None, with a warning, if it is damaged or missing (the run was removed)."""
    try:
        manifest = read_object(paths.manifest, storage, max_bytes=MAX_BYTES)
        _check_errors(manifest)
    except FileNotFoundError:
        LOG.warning("run %s was removed or has lost its manifest; leaving its error rows alone", paths.run_id)
        return None
    except ValueError as error:
        LOG.warning("%s: damaged (%s); leaving the error rows of its run alone", paths.manifest, error)
        return None
    return manifest


def _check_errors(manifest: dict[str, Any]) -> None:
    """Raises ValueError if the error rows of a manifest do not have the expected format."""
    try:
        # Summation fails on the first value of a wrong type.
        shown = manifest["num_errors"] + sum(
            int(shard) + start + stop
            for part in manifest["errors"]
            for shard, runs in part["ranges"].items()
            for start, stop in runs
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"unexpected format of its error rows: {error!r}") from error
    if not isinstance(shown, int):
        raise ValueError("counts or ranges of its error rows are not integers")  # noqa: TRY004


def _can_be_loaded(shards: Shards | None, manifest: dict[str, Any], run_id: str) -> bool:
    """Returns True if the inventory still holds every error row. If not, logs a warning: no row of the run is retried.

    All shards are loaded before any row is taken, because a redrive must move either all error rows of a run or none.
    """
    if shards is None:
        return False
    listed = {int(shard) for part in manifest["errors"] for shard in part["ranges"]}
    try:
        for shard in sorted(listed):
            shards.load(shard)
    except Exception as error:
        if not is_damage(error):
            raise
        LOG.warning("run %s: inventory damaged (%s); leaving its error rows alone", run_id, one_line(error))
        return False
    return True


def _error_rows(shards: Shards, manifest: dict[str, Any], dataset: Dataset) -> Iterator[pa.Table]:
    for part in manifest["errors"]:
        for shard, runs in part["ranges"].items():
            table = shards.load(int(shard))
            rows = pa.concat_tables([table.slice(start, stop - start) for start, stop in runs])
            yield _described(rows, dataset).drop_columns([SHARD, ROW])


def _described(rows: pa.Table, dataset: Dataset) -> pa.Table:
    """Returns ``rows`` with the current size and version of each file, so that later runs do not treat a fixed file as
    new.
    """
    if dataset.layout is not Layout.FILES:
        return rows
    storage = dataset.image_storage
    # With `all`, a null version means that the file did not exist when it was listed.
    requests_all = isinstance(dataset, ManifestDataset) and dataset.versions is Versions.all

    def describe_now(row: dict[str, Any]) -> dict[str, Any]:
        if row[VERSION] is None and not requests_all:  # unknown when listed
            return row
        try:
            file = describe(row[URI], storage)
        # All other images would be refused too: end the job rather than list them without versions.
        except CredentialsError:
            raise
        except Exception:  # noqa: BLE001  reading the file later reports what is wrong with it
            return row
        return row | {SIZE: file.size, VERSION: file.version}

    with ThreadPoolExecutor(_THREADS) as pool:
        return pa.Table.from_pylist(list(pool.map(describe_now, rows.to_pylist())), schema=rows.schema)
