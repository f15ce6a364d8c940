"""The Ray Data source: one read task for each piece of the inventory. Built on the driver, runs on workers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from actors.reading.reader import ReadPlan, read_piece

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.row_ranges import Piece
    from actors.tracking.attempts import SharedLedger


class ShardSource(Datasource):
    """Ray Data source with one read task for each ``missing`` piece of an inventory."""

    def __init__(self, plan: ReadPlan, missing: Sequence[Piece], ledger: SharedLedger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._plan = plan
        self._missing = missing
        self._ledger = ledger

    def get_name(self) -> str:
        return "ReadImages"

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002  the cut into shards is fixed when the run opens
        per_task_row_limit: int | None = None,
        data_context: object = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [
            ReadTask(
                partial(read_piece, self._plan, piece, self._ledger), unknown, per_task_row_limit=per_task_row_limit
            )
            for piece in self._missing
        ]
