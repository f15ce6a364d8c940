from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blocks import predicted_block

from actors.columns import DECODE_S, PREDICT_S, READ_S
from actors.storage.store import Storage
from actors.writing.part_writer import SinkPlan, write_part
from actors.writing.parts import Part, find_parts
from actors.writing.run_paths import RunPaths
from jobs.benchmarking.write_speed import as_predicted, rewrite, writing_images_per_s


def plan_below(folder: Path) -> SinkPlan:
    return SinkPlan(RunPaths(str(folder), "m", "r"), Storage(), {}, 40)


@pytest.fixture
def parts(tmp_path: Path) -> list[Part]:
    plan = plan_below(tmp_path)
    for number, rows in enumerate([[0, 1, 2, 7, 8], range(20, 23)]):
        block = pa.concat_tables([predicted_block(number, rows, bad=[2]), predicted_block(number + 5, range(4))])
        write_part(plan, block, number=number)
    return find_parts(plan.paths.rows, plan.storage, {})


def test_rows_are_restored_as_they_reached_the_sink(parts: list[Part], tmp_path: Path) -> None:
    seconds = [READ_S, DECODE_S, PREDICT_S]
    rows = as_predicted(plan_below(tmp_path), parts[0])
    expected = pa.concat_tables([predicted_block(0, [0, 1, 7, 8]), predicted_block(5, range(4))])
    assert set(rows.column_names) == set(expected.column_names)
    names = [name for name in expected.column_names if name not in seconds]
    assert rows.select(names).to_pylist() == expected.select(names).to_pylist()
    assert rows.select(seconds).schema == expected.select(seconds).schema


def test_the_same_rows_are_written_again(parts: list[Part], tmp_path: Path) -> None:
    plan = plan_below(tmp_path)
    again = replace(plan, paths=replace(plan.paths, run_id="again"))
    num_rows, seconds = rewrite(again, parts)
    assert num_rows == 4 + 4 + 3 + 4
    assert seconds > 0
    one, other = (pq.read_table(paths.rows).to_pylist() for paths in (plan.paths, again.paths))
    assert [{**row, "run": ""} for row in one] == [{**row, "run": ""} for row in other]
    assert not Path(again.paths.errors).exists()


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_there_is_no_rate_without_rows(parts: list[Part], tmp_path: Path) -> None:
    plan = plan_below(tmp_path)
    again = replace(plan, paths=replace(plan.paths, run_id="again"))
    assert writing_images_per_s(again, [], writers=2) is None
    rate = writing_images_per_s(again, parts, writers=3)
    assert rate is not None
    assert rate > 0
    assert len(list(Path(again.paths.rows).iterdir())) == 2
