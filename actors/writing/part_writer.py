"""Predicted blocks to part files, whole or absent, each with its receipt. Runs in Ray Data's write tasks;
`write_part` needs no Ray.
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
from actors.writing.receipts import FOOTER_KEY, PROVENANCE_KEY, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.storage.store import Storage
    from actors.writing.run_paths import RunPaths


class WriteGuard(Protocol):
    """The driver that a worker works for: whether it still holds the output, and where its parts are staged."""

    def is_held(self) -> bool: ...

    @property
    def staging(self) -> str:
        """The folder in which this driver's parts are staged."""
        ...


class WriteObserver(Protocol):
    """Counts what was written."""

    def wrote(self, seconds: float, num_bytes: int) -> None: ...


class ReplacedError(Exception):
    """Another driver has taken the output over: a part that is written now would be one too many."""


@dataclass(frozen=True)
class SinkPlan:
    """What a write task needs to know.

    Args:
        paths: where parts go.
        storage: writes them.
        provenance: goes into every footer beside the receipt: fingerprint, versions, digest of the config.
        rows_per_part: blocks are gathered until they hold this many rows.
        mark: asked before each file is written; None where nobody else can write.
        told: of each file that was written; None where nobody counts.
        counts: gives the task's counters over a file's rows, as `actors.tasks.base.Task.counts` does; None counts
            nothing.
        stall_s: seconds after which a file that is not written ends the process, as on a disk that hangs; the task is
            then tried again elsewhere. None sets no limit.
    """

    paths: RunPaths
    storage: Storage
    provenance: Mapping[str, str]
    rows_per_part: int
    mark: WriteGuard | None = None
    told: WriteObserver | None = None
    counts: Callable[[pa.Table], Mapping[str, int]] | None = None
    stall_s: float | None = None


def write_part(plan: SinkPlan, table: pa.Table, *, number: int) -> list[str]:
    """Writes the predicted rows under ``rows/`` and the others under ``errors/``; gives the names of the files.

    A name ends in half of the SHA-256 of the file, so that attempts never write over one another unless they are
    equal, and anybody can check a file by its name.

    Args:
        plan: where to, and what else the footers say.
        table: rows as `Predictor.predict_block` gives them.
        number: tells parts apart for people.

    Raises:
        ReplacedError: another driver holds the output.
        OutputError: the output refuses the file.
    """
    fault("write.started")
    table = _without_users(table).sort_by([(SHARD, "ascending"), (ROW, "ascending")])
    is_ok = table[STAGE].is_null()
    ok, errors = table.filter(is_ok), table.filter(pc.invert(is_ok))
    names = [_write(plan, plan.paths.errors, errors, _error_rows(errors), number)] if len(errors) else []
    fault("write.between")
    names += [_write(plan, plan.paths.rows, ok, _public_rows(ok), number)] if len(ok) else []
    fault("write.done")
    return names


def _without_users(table: pa.Table) -> pa.Table:
    for name in (IMAGE_ID, URI):
        table = table.set_column(table.schema.get_field_index(name), table.field(name), without_users(table[name]))
    return table


def _public_rows(ok: pa.Table) -> pa.Table:
    return ok.select([name for name in ok.column_names if not name.startswith("_")])


def _error_rows(errors: pa.Table) -> pa.Table:
    columns = [errors[name] for name in (IMAGE_ID, URI, STAGE, ERROR, MESSAGE)]
    return pa.Table.from_arrays(columns, schema=pa.schema(ERROR_FIELDS))


def _write(plan: SinkPlan, folder: str, table: pa.Table, columns: pa.Table, number: int) -> str:
    since = time.perf_counter()
    data = _encode(columns, Receipt.of(table, plan.counts and plan.counts(table)), plan.provenance)
    name = f"part-{number:06d}-{hashlib.sha256(data).hexdigest()[:32]}.parquet"
    if plan.mark is not None and not plan.mark.is_held():
        raise ReplacedError(f"{plan.paths.root} is held by another run by now; {name} was not written")
    try:
        with writing_to(folder), limit(plan.stall_s, _tell_nobody):
            plan.storage.write_part(join(folder, name), data, plan.mark.staging if plan.mark else None)
    except StagingEndedError as error:
        raise ReplacedError(f"{plan.paths.root}: the attempt that this writer works for has ended; {error}") from error
    fault("write.stands")
    if plan.told is not None:
        plan.told.wrote(time.perf_counter() - since, data.size)
    return name


def _tell_nobody() -> None:
    """Ray sees the process die, and its log has the tracebacks."""


def _encode(rows: pa.Table, receipt: Receipt, provenance: Mapping[str, str]) -> pa.Buffer:
    footer = {FOOTER_KEY: receipt.to_footer(), PROVENANCE_KEY: json.dumps(dict(provenance)).encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata(footer), sink, compression="zstd")
    return sink.getvalue()
