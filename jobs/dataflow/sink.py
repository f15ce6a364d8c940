"""The Ray Data sink: gathers predicted blocks and writes them as parts. Runs on workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from ray.data import Datasink

from actors.writing.part_writer import SinkPlan, write_part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ray.data._internal.execution.interfaces import TaskContext


class PartSink(Datasink[None]):
    """Ray Data sink over `write_part`. The driver learns what was written from the footers, never from Ray."""

    def __init__(self, plan: SinkPlan) -> None:
        self._plan = plan

    @property
    def min_rows_per_write(self) -> int:
        return self._plan.rows_per_part  # Ray Data gathers blocks until this is reached, so parts are larger

    def write(self, blocks: Iterable[pa.Table], ctx: TaskContext) -> None:
        tables = [block for block in blocks if len(block)]  # Ray Data's empty blocks have no schema to join
        if tables:
            # Ray Data keeps the index of a retried task, so a part keeps its number.
            write_part(self._plan, pa.concat_tables(tables), number=ctx.task_idx)
