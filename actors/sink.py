"""Predicted blocks to part files, whole or absent, each with its receipt. Runs in Ray Data's write tasks;
`write_part` needs no Ray.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ray.data import Datasink

from actors.columns import (
    DECODE_S,
    ERROR,
    ERROR_FIELDS,
    IMAGE_ID,
    MESSAGE,
    PREDICT_S,
    READ_S,
    ROW,
    SHARD,
    STAGE,
    URI,
)
from actors.receipts import FOOTER_KEY, Receipt, row_ranges
from actors.summaries import Summary
from actors.uris import join

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ray.data._internal.execution.interfaces import TaskContext

    from actors.run_paths import RunPaths
    from actors.storage import Storage


@dataclass(frozen=True)
class SinkPlan:
    """What a write task needs to know.

    Args:
        paths: where parts go.
        storage: writes them.
        provenance: goes into every footer beside the receipt: fingerprint, versions, digest of the config.
        rows_per_part: blocks are gathered until they hold this many rows.
    """

    paths: RunPaths
    storage: Storage
    provenance: Mapping[str, str]
    rows_per_part: int


class PartSink(Datasink[None]):
    """Ray Data's view of `write_part`. What was written is read back from the footers, never from Ray."""

    def __init__(self, plan: SinkPlan) -> None:
        self._plan = plan

    @property
    def min_rows_per_write(self) -> int:
        return self._plan.rows_per_part

    def write(self, blocks: Iterable[pa.Table], ctx: TaskContext) -> None:
        tables = [block for block in blocks if len(block)]
        if tables:
            write_part(self._plan, pa.concat_tables(tables), number=ctx.task_idx)


def write_part(plan: SinkPlan, table: pa.Table, *, number: int) -> Receipt:
    """Writes one attempt: the predicted rows under ``rows/``, the others under ``errors/``.

    Args:
        plan: where to, and what else the footers say.
        table: rows as `Predictor.predict_block` gives them.
        number: tells parts apart for people; what makes the name unique is drawn anew in each attempt.
    """
    table = table.sort_by([(SHARD, "ascending"), (ROW, "ascending")])
    is_ok = table[STAGE].is_null()
    ok, errors = table.filter(is_ok), table.filter(pc.invert(is_ok))
    attempt = f"part-{number:06d}-{uuid.uuid4().hex[:12]}"
    receipt = Receipt(attempt, row_ranges(ok), row_ranges(errors), Summary.of(table))
    for folder, rows in ((plan.paths.errors, _error_rows(errors)), (plan.paths.rows, ok.drop_columns(_INTERNAL))):
        if len(rows):
            plan.storage.write(join(folder, f"{attempt}.parquet"), _encode(rows, receipt, plan.provenance))
    return receipt


_INTERNAL = [SHARD, ROW, STAGE, ERROR, MESSAGE, READ_S, DECODE_S, PREDICT_S]


def _error_rows(errors: pa.Table) -> pa.Table:
    columns = [errors[name] for name in (IMAGE_ID, URI, STAGE, ERROR, MESSAGE)]
    return pa.Table.from_arrays(columns, schema=pa.schema(ERROR_FIELDS))


def _encode(rows: pa.Table, receipt: Receipt, provenance: Mapping[str, str]) -> pa.Buffer:
    footer = {FOOTER_KEY: receipt.to_footer(), b"shardlens.provenance": json.dumps(dict(provenance)).encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata(footer), sink, compression="zstd")
    return sink.getvalue()
