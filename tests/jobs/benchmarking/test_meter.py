from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from blocks import predicted_block
from ray.data.datasource.datasink import WriteResult

from actors.columns import DECODE_S, PREDICT_S, ROW
from actors.storage.store import Storage
from actors.trials.throughput import stamped
from actors.writing.part_writer import SinkPlan
from actors.writing.run_paths import RunPaths
from jobs.benchmarking.meter import Meter, MeteredSink

CONTEXT = SimpleNamespace(task_idx=0)


def sink_below(folder: Path, *, is_off: bool) -> MeteredSink:
    return MeteredSink(SinkPlan(RunPaths(str(folder), "m", "r"), Storage(), {}, 40), is_off=is_off)


@pytest.mark.parametrize("is_off", [True, False])
def test_the_sink_counts_rows_and_writes_them_unless_off(is_off: bool, tmp_path: Path) -> None:  # noqa: FBT001
    sink = sink_below(tmp_path, is_off=is_off)
    assert sink.min_rows_per_write == 40
    blocks = [stamped(predicted_block(0, range(3))), stamped(predicted_block(1, range(5), bad=[1]))]
    meters = [sink.write([block], CONTEXT) for block in blocks]
    meters.append(sink.write([blocks[0].slice(0, 0)], CONTEXT))
    sink.on_write_complete(WriteResult(8, 0, meters))
    meter = sink.meter
    assert (meter.num_images, meter.num_errors) == (8, 1)
    assert [end.num_images for end in meter.ends] == [3, 5]
    assert [end.num_images for end in meter.arrivals] == [3, 5]
    assert meter.totals[DECODE_S] == pytest.approx(1.6)
    assert meter.totals[PREDICT_S] == pytest.approx(2.4)
    parts = sorted(tmp_path.rglob("part-*.parquet"))
    assert len(parts) == (0 if is_off else 3)
    assert not [name for part in parts for name in pq.read_schema(part).names if name.startswith("_")]


def test_missing_columns_are_not_summed() -> None:
    bare = stamped(predicted_block(0, range(4)).select([ROW]))
    meter = Meter.of(bare, arrived_at_s=5.0) + Meter()
    assert (meter.num_images, meter.num_errors) == (4, 0)
    assert dict(meter.totals) == {}
