from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blocks import predicted_block

from actors.receipts import Receipt
from actors.run_paths import RunPaths
from actors.sink import SinkPlan, write_part
from actors.storage import Storage


@pytest.fixture
def plan(tmp_path: Path) -> SinkPlan:
    return SinkPlan(RunPaths(str(tmp_path), "mtest", "r1"), Storage(), {"fingerprint": "mtest"}, 100)


def only_file(folder: str) -> Path:
    (path,) = Path(folder).iterdir()
    return path


def test_good_and_bad_rows_go_to_their_files_in_order(plan: SinkPlan) -> None:
    write_part(plan, pa.concat_tables([predicted_block(1, [3, 1, 2], bad=[2]), predicted_block(0, [7])]), number=4)
    rows = pq.read_table(only_file(plan.paths.rows), partitioning=None)
    assert rows.column_names == ["image_id", "uri", "score"]
    assert rows["image_id"].to_pylist() == ["0/7.jpg", "1/1.jpg", "1/3.jpg"]
    errors = pq.read_table(only_file(plan.paths.errors), partitioning=None)
    assert errors.to_pylist() == [
        {"image_id": "1/2.jpg", "uri": "/data/1/2.jpg", "stage": "decode", "error": "truncated", "message": "cut off"}
    ]


def test_both_footers_carry_the_receipt_and_the_provenance(plan: SinkPlan) -> None:
    receipt = write_part(plan, predicted_block(0, range(10), bad=[4]), number=0)
    for folder in (plan.paths.rows, plan.paths.errors):
        metadata = pq.read_metadata(only_file(folder)).metadata
        assert Receipt.from_footer(metadata) == receipt
        assert json.loads(metadata[b"shardlens.provenance"]) == {"fingerprint": "mtest"}
    assert receipt.ok == {0: [(0, 4), (5, 10)]}
    assert receipt.errors == {0: [(4, 5)]}
    assert (receipt.summary.num_ok, receipt.summary.num_errors) == (9, 1)


def test_no_file_is_written_without_rows(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(3)), number=0)
    assert not Path(plan.paths.errors).exists()
    write_part(plan, predicted_block(1, range(2), bad=[0, 1]), number=1)
    assert len(list(Path(plan.paths.rows).iterdir())) == 1


def test_two_attempts_at_the_same_work_do_not_overwrite_each_other(plan: SinkPlan) -> None:
    for _ in range(2):
        write_part(plan, predicted_block(0, range(3)), number=0)
    assert len(list(Path(plan.paths.rows).iterdir())) == 2


def test_parts_are_zstd(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(3)), number=0)
    column = pq.read_metadata(only_file(plan.paths.rows)).row_group(0).column(0)
    assert column.compression == "ZSTD"
