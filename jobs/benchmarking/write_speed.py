"""How fast rows are written that are there already: parts of a run are read back and written once more, by as many
writers as the plan has. Driven on the driver, done in tasks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from actors.columns import DECODE_S, ERROR, MESSAGE, PREDICT_S, READ_S, ROW, SHARD, STAGE
from actors.writing.part_writer import write_part
from jobs.planning.planner import WRITE_CPUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.writing.part_writer import SinkPlan
    from jobs.runs.parts import Part


def writing_images_per_s(plan: SinkPlan, parts: Sequence[Part], *, writers: int) -> float | None:
    """Rows a second of all writers together, each timed while it writes; None where there are no parts.

    Args:
        plan: where to; not where the parts lie.
        parts: whole ones under ``rows/``.
        writers: of the plan.
    """
    shares = [share for number in range(writers) if (share := parts[number::writers])]
    task: Any = ray.remote(rewrite)
    told = ray.get([task.options(num_cpus=WRITE_CPUS).remote(plan, share) for share in shares])
    rates = [num_rows / seconds for num_rows, seconds in told if seconds]
    return sum(rates) or None


def rewrite(plan: SinkPlan, parts: Sequence[Part]) -> tuple[int, float]:
    """Number of rows, and the seconds that it took to write them."""
    num_rows, seconds = 0, 0.0
    for number, part in enumerate(parts):
        rows = as_predicted(plan, part)
        since = time.perf_counter()
        write_part(plan, rows, number=number)
        seconds += time.perf_counter() - since
        num_rows += len(rows)
    return num_rows, seconds


def as_predicted(plan: SinkPlan, part: Part) -> pa.Table:
    """The rows of ``part`` as they came to the sink, but for the seconds, which are zeros."""
    with plan.storage.open(part.uri) as source:
        rows = pq.read_table(source).replace_schema_metadata(None)
    ranges = part.receipt.ranges if part.receipt else {}
    places = [(shard, row) for shard, runs in ranges.items() for start, stop in runs for row in range(start, stop)]
    for name, column in zip((SHARD, ROW), np.array(places, np.int32).reshape(-1, 2).T, strict=True):
        rows = rows.append_column(name, pa.array(column))
    for name in (STAGE, ERROR, MESSAGE):
        rows = rows.append_column(name, pa.nulls(len(rows), pa.string()))
    for name in (READ_S, DECODE_S, PREDICT_S):
        rows = rows.append_column(name, pa.array(np.zeros(len(rows), np.float32)))
    return rows
