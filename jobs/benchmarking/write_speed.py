"""Measures the writing rate: tasks read the parts of a run and rewrite them, with as many writers as in the plan. Runs
on the driver.
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
    from actors.writing.parts import Part


def writing_images_per_s(plan: SinkPlan, parts: Sequence[Part], *, writers: int) -> float | None:
    """Returns the rows per second of all writers together, each timed only while writing; None if there are no rows.

    Args:
        plan: destination; not the run that the parts belong to.
        parts: valid parts under ``rows/``.
        writers: number of concurrent writers.
    """
    # Real rows of the whole job: their size and compressibility determine the speed.
    shares = [share for number in range(writers) if (share := parts[number::writers])]
    task: Any = ray.remote(rewrite)
    # Run concurrently, because writers share the network and the store.
    results = ray.get([task.options(num_cpus=WRITE_CPUS).remote(plan, share) for share in shares])
    rates = [num_rows / seconds for num_rows, seconds in results if seconds]
    return sum(rates) or None


def rewrite(plan: SinkPlan, parts: Sequence[Part]) -> tuple[int, float]:
    """Rewrites the rows of ``parts``; returns their number and the seconds of writing, without reading."""
    num_rows, seconds = 0, 0.0
    for number, part in enumerate(parts):
        rows = as_predicted(plan, part)  # reading is not part of the measurement
        since = time.perf_counter()
        write_part(plan, rows, number=number)
        seconds += time.perf_counter() - since
        num_rows += len(rows)
    return num_rows, seconds


def as_predicted(plan: SinkPlan, part: Part) -> pa.Table:
    """Restores the rows of ``part`` as they reached the sink, except that all seconds are 0."""
    with plan.storage.open(part.uri) as source:
        rows = pq.read_table(source).replace_schema_metadata(None)
    # Rows of a part are in the order of its receipt's ranges.
    ranges = part.receipt.ranges if part.receipt else {}
    places = [(shard, row) for shard, runs in ranges.items() for start, stop in runs for row in range(start, stop)]
    for name, column in zip((SHARD, ROW), np.array(places, np.int32).reshape(-1, 2).T, strict=True):
        rows = rows.append_column(name, pa.array(column))
    for name in (STAGE, ERROR, MESSAGE):
        rows = rows.append_column(name, pa.nulls(len(rows), pa.string()))
    for name in (READ_S, DECODE_S, PREDICT_S):
        rows = rows.append_column(name, pa.array(np.zeros(len(rows), np.float32)))
    return rows
