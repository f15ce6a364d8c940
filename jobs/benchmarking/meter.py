"""Measurements of one variant of the pipeline: the end of each batch, and the seconds of each stage. Write tasks read
them from incoming rows, and the driver adds them up.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from ray.data import Datasink

from actors.columns import DECODE_S, PREDICT_S, READ_BYTES, READ_S, STAGE
from actors.trials.throughput import End, ends_of
from actors.writing.part_writer import write_part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ray.data._internal.execution.interfaces import TaskContext
    from ray.data.datasource.datasink import WriteResult

    from actors.writing.part_writer import SinkPlan


@dataclass(frozen=True)
class Meter:
    """Totals over the rows at the end of a pipeline."""

    ends: list[End] = field(default_factory=list)
    """Ends of the batches in the last stage."""
    arrivals: list[End] = field(default_factory=list)
    """Arrivals at the writers, one for each write call."""
    totals: Counter[str] = field(default_factory=Counter)
    """Sums of the columns in `_SUMMED` that the rows have, by column name."""
    num_images: int = 0
    num_errors: int = 0

    @classmethod
    def of(cls, table: pa.Table, *, arrived_at_s: float) -> Meter:
        """Measures rows that were `actors.trials.throughput.stamped`; ``arrived_at_s`` is a Unix time."""
        sums = {name: float(pc.sum(table[name]).as_py() or 0) for name in _SUMMED if name in table.column_names}
        num_errors = len(table) - table[STAGE].null_count if STAGE in table.column_names else 0
        return cls(ends_of(table), [End(arrived_at_s, len(table))], Counter(sums), len(table), num_errors)

    def __add__(self, other: Meter) -> Meter:
        return Meter(
            self.ends + other.ends,
            self.arrivals + other.arrivals,
            self.totals + other.totals,
            self.num_images + other.num_images,
            self.num_errors + other.num_errors,
        )


_SUMMED = (READ_BYTES, READ_S, DECODE_S, PREDICT_S)


class MeteredSink(Datasink[Meter]):
    """A `PartSink` that measures its input: `meter` holds the totals after the pipeline. If off, writes nothing."""

    def __init__(self, plan: SinkPlan, *, is_off: bool) -> None:
        self.meter = Meter()
        self._plan = plan
        self._is_off = is_off

    @property
    def min_rows_per_write(self) -> int:
        return self._plan.rows_per_part

    def write(self, blocks: Iterable[pa.Table], ctx: TaskContext) -> Meter:
        tables = [block for block in blocks if len(block)]
        if not tables:
            return Meter()
        table = pa.concat_tables(tables)
        # `time.time`, because readings of different processes are compared, which a monotonic clock does not allow.
        meter = Meter.of(table, arrived_at_s=time.time())
        if not self._is_off:
            write_part(self._plan, table, number=ctx.task_idx)  # drops the stamp, like all columns with an underscore
        return meter

    def on_write_complete(self, write_result: WriteResult[Meter]) -> None:
        self.meter = sum(write_result.write_returns, start=Meter())
