"""The Ray Data source: one read task per piece of the inventory. Built on the driver, runs on workers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from actors.reading.reader import ReadPlan, read_piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pyarrow as pa

    from actors.row_ranges import Piece
    from actors.tracking.attempts import SharedLedger

    Read = Callable[[ReadPlan, Piece, SharedLedger], Iterable[pa.Table]]


class ShardSource(Datasource):
    """Ray Data source with one read task per ``missing`` piece of an inventory.

    Args:
        plan: parameters of all tasks.
        missing: the pieces.
        ledger: receives the attempts of the tasks.
        read: reads a piece; `read_piece`, unless a benchmark replaces it.
    """

    def __init__(self, plan: ReadPlan, missing: Sequence[Piece], ledger: SharedLedger, read: Read = read_piece) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._plan = plan
        self._missing = missing
        self._ledger = ledger
        self._read = read

    def get_name(self) -> str:
        return "ReadImages"

    def estimate_inmemory_data_size(self) -> int | None:
        return None  # Ray Data uses it to choose the number of tasks, which is fixed here

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002  the cut into shards is fixed when the run opens
        per_task_row_limit: int | None = None,
        data_context: object = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [
            ReadTask(
                partial(self._read, self._plan, piece, self._ledger), unknown, per_task_row_limit=per_task_row_limit
            )
            for piece in self._missing
        ]
