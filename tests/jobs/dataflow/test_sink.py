"""Blocks that Ray Data passes to the sink, and the resulting parts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
from blocks import predicted_block

from actors.storage.store import Storage
from actors.writing.part_writer import SinkPlan
from actors.writing.run_paths import RunPaths
from jobs.dataflow.sink import PartSink


def test_blocks_of_one_task_become_one_part_and_none_without_rows(tmp_path: Path) -> None:
    plan = SinkPlan(RunPaths(str(tmp_path), "mtest", "r1"), Storage(), {"fingerprint": "mtest"}, 100)
    sink = PartSink(plan)
    assert sink.min_rows_per_write == 100
    empty = predicted_block(0, [])
    sink.write([empty], SimpleNamespace(task_idx=3))
    assert not Path(plan.paths.rows).exists()
    sink.write([predicted_block(0, [0, 1]), empty, predicted_block(1, [5])], SimpleNamespace(task_idx=4))
    (part,) = Path(plan.paths.rows).iterdir()
    assert part.name.startswith("part-000004-")
    assert pq.read_table(part, partitioning=None)["image_id"].to_pylist() == ["0/0.jpg", "0/1.jpg", "1/5.jpg"]
