"""Writes predicted blocks atomically as part files with receipts. Runs in the write tasks of workers, and once on the
driver for a run without errors.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.columns import ERROR, ERROR_FIELDS, IMAGE_ID, MESSAGE, ROW, SHARD, STAGE, URI
from actors.fault_injection import fault
from actors.messages import writing_to
from actors.storage.local_files import StagingEndedError
from actors.storage.uris import join, without_users
from actors.tracking.watchdog import limit
from actors.writing.parts import Part
from actors.writing.picks import PICKS_KEY, pick_rows, to_footer
from actors.writing.receipts import FOOTER_KEY, PROVENANCE_KEY, Receipt
from actors.writing.summaries import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.storage.store import Storage
    from actors.writing.picks import Ranking
    from actors.writing.run_paths import RunPaths


class WriteGuard(Protocol):
    """Fencing: parts are written only while this worker's driver holds the output."""

    def is_held(self) -> bool: ...

    @property
    def staging(self) -> str:
        """Folder for staging this driver's parts."""
        ...


class WriteObserver(Protocol):
    """Receives the duration and size of each written part."""

    def count_part(self, seconds: float, num_bytes: int) -> None: ...


class ReplacedError(Exception):
    """Another driver has taken over the output, so this worker must not write more parts."""


@dataclass(frozen=True)
class SinkPlan:
    """Parameters of a write task.

    Args:
        paths: destination of the parts.
        storage: storage of the output.
        provenance: fingerprint, versions and digest of the config; stored in every footer, next to the receipt.
        rows_per_part: rows collected from blocks into one part.
        guard: checked before each write; None if nothing else can write.
        observer: notified of each written part.
        counts: the task's counters over a file's rows; see `actors.tasks.base.Task.counts`; None for no counters.
        rankings: the task's rankings of a file's rows; see `actors.tasks.base.Task.rankings`; None picks no rows.
        stall_s: time limit of a write in seconds. When it expires, such as on a hung disk, the process exits, and the
            task is retried elsewhere. None for no limit.
    """

    paths: RunPaths
    storage: Storage
    provenance: Mapping[str, str]
    rows_per_part: int
    guard: WriteGuard | None = None
    observer: WriteObserver | None = None
    counts: Callable[[pa.Table], Mapping[str, int]] | None = None
    rankings: Callable[[pa.Table], Sequence[Ranking]] | None = None
    stall_s: float | None = None


def write_part(plan: SinkPlan, table: pa.Table, *, number: int) -> list[str]:
    """Writes predicted rows below ``rows/`` and failed rows below ``errors/``; returns the file names.

    A name ends with half of the file's SHA-256, so attempts overwrite each other only with equal bytes, and the name
    can verify the file.

    Args:
        plan: destination, and footer content.
        table: rows returned by `Predictor.predict_block`.
        number: number in the names, for readability.

    Raises:
        ReplacedError: another driver holds the output.
        OutputError: the output cannot be written.
    """
    fault("write.started")
    # Blocks arrive in the order workers finish. A receipt's ranges are unordered, so `jobs.verify` uses this order to
    # compare rows with the inventory.
    table = _without_users(table).sort_by([(SHARD, "ascending"), (ROW, "ascending")])
    is_ok = table[STAGE].is_null()
    ok, errors = table.filter(is_ok), table.filter(pc.invert(is_ok))
    names = [_write(plan, plan.paths.errors, errors, _error_rows(errors), number)] if len(errors) else []
    fault("write.between")
    names += [_write(plan, plan.paths.rows, ok, _public_rows(ok), number)] if len(ok) else []
    fault("write.done")
    return names


def write_no_errors(paths: RunPaths, storage: Storage, provenance: Mapping[str, str]) -> Part:
    """Writes an error file without rows, so that readers of ``errors/`` find its columns even if no image failed.

    Raises:
        OutputError: the output cannot be written.
    """
    receipt = Receipt({}, Summary())
    data = _encode(pa.schema(ERROR_FIELDS).empty_table(), _proof(receipt, provenance))
    uri = join(paths.errors, f"empty-{0:06d}-{hashlib.sha256(data).hexdigest()[:32]}.parquet")
    with writing_to(paths.errors):
        storage.write(uri, data)
    return Part(uri, data.size, receipt)


def _without_users(table: pa.Table) -> pa.Table:
    # An output may be shared more widely than the passwords in its URLs.
    for name in (IMAGE_ID, URI):
        table = table.set_column(table.schema.get_field_index(name), table.field(name), without_users(table[name]))
    return table


def _public_rows(ok: pa.Table) -> pa.Table:
    # No kept column is lost: datasets refuse names with a leading underscore.
    return ok.select([name for name in ok.column_names if not name.startswith("_")])


def _error_rows(errors: pa.Table) -> pa.Table:
    columns = [errors[name] for name in (IMAGE_ID, URI, STAGE, ERROR, MESSAGE)]
    return pa.Table.from_arrays(columns, schema=pa.schema(ERROR_FIELDS))


def _write(plan: SinkPlan, folder: str, table: pa.Table, columns: pa.Table, number: int) -> str:
    since = time.perf_counter()
    data = _encode(columns, _footer(plan, table))
    name = f"part-{number:06d}-{hashlib.sha256(data).hexdigest()[:32]}.parquet"
    # After encoding, immediately before the put, which an object store cannot undo.
    if plan.guard is not None and not plan.guard.is_held():
        raise ReplacedError(f"{plan.paths.root} is now held by another run; {name} was not written")
    try:
        with writing_to(folder), limit(plan.stall_s, _do_nothing):
            plan.storage.write_part(join(folder, name), data, plan.guard.staging if plan.guard else None)
    # The check above can be too early, such as if the process is suspended after it; a removed folder is final.
    except StagingEndedError as error:
        raise ReplacedError(f"{plan.paths.root}: the driver's attempt has ended; {error}") from error
    fault("write.stands")
    if plan.observer is not None:
        plan.observer.count_part(time.perf_counter() - since, data.size)
    return name


def _do_nothing() -> None:
    """Reports nothing: Ray notices the process's death, and its log has the tracebacks."""


def _footer(plan: SinkPlan, table: pa.Table) -> dict[bytes, bytes]:
    receipt = Receipt.of(table, plan.counts and plan.counts(table))
    footer = _proof(receipt, plan.provenance)
    return footer if plan.rankings is None else footer | {PICKS_KEY: to_footer(pick_rows(table, plan.rankings))}


def _proof(receipt: Receipt, provenance: Mapping[str, str]) -> dict[bytes, bytes]:
    return {FOOTER_KEY: receipt.to_footer(), PROVENANCE_KEY: json.dumps(dict(provenance)).encode()}


def _encode(rows: pa.Table, footer: Mapping[bytes, bytes]) -> pa.Buffer:
    # In memory: the whole file's digest is part of its name.
    sink = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata(footer), sink, compression="zstd")
    return sink.getvalue()
