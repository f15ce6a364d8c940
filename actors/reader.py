"""A shard of the inventory to blocks of decoded pixels. Runs in Ray Data's read tasks; `read_shard` needs no Ray."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from actors.columns import LOCATION, READ_S
from actors.fetch import Fetcher
from actors.pixels import pixel_columns
from actors.preprocess import Preprocess, fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.decode import Decode
    from actors.shards import Shards
    from actors.storage import Storage


@dataclass(frozen=True)
class ReadPlan:
    """What a read task needs to know beside the number of its shard."""

    shards: Shards
    storage: Storage
    limits: Decode
    preprocess: Preprocess
    batch_size: int


def read_shard(plan: ReadPlan, shard: int) -> Iterator[pa.Table]:
    """Blocks of at most ``batch_size`` rows: the inventory's columns but for `LOCATION`, then those of
    `pixel_columns` and `READ_S`. Every row of the shard is in exactly one block, with pixels or with an error.
    """
    fit(np.zeros((1, 1, 3), np.uint8), plan.preprocess)  # imports torch, which is no time spent on decoding
    rows = plan.shards.load(shard)
    fetcher = Fetcher(plan.shards, plan.storage, max_bytes=plan.limits.max_bytes)
    waited_since = time.perf_counter()
    for batch, images in fetcher.batches(rows, plan.batch_size):
        read_s = (time.perf_counter() - waited_since) / len(batch)
        block = batch.drop_columns(list(LOCATION))
        for name, column in pixel_columns(images, plan.limits, plan.preprocess).items():
            block = block.append_column(name, column)
        yield block.append_column(READ_S, pa.array([read_s] * len(batch), pa.float32()))
        waited_since = time.perf_counter()


class ShardSource(Datasource):
    """Ray Data's view of an inventory: one read task a shard."""

    def __init__(self, plan: ReadPlan, num_shards: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._plan = plan
        self._num_shards = num_shards

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
            ReadTask(partial(read_shard, self._plan, shard), unknown, per_task_row_limit=per_task_row_limit)
            for shard in range(self._num_shards)
        ]
