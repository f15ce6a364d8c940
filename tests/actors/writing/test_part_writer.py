from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blocks import predicted_block
from s3 import S3

from actors.errors import OutputError
from actors.fault_injection import VARIABLE
from actors.storage.store import Storage
from actors.writing.part_writer import ReplacedError, SinkPlan, write_part
from actors.writing.picks import Ranking, from_footer
from actors.writing.receipts import Receipt
from actors.writing.run_paths import RunPaths
from actors.writing.staging import Staging


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


def test_each_footer_carries_the_receipt_of_its_own_rows_and_the_provenance(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(10), bad=[4]), number=0)
    receipts = []
    for folder in (plan.paths.rows, plan.paths.errors):
        metadata = pq.read_metadata(only_file(folder)).metadata
        receipts.append(Receipt.from_footer(metadata))
        assert json.loads(metadata[b"shardlens.provenance"]) == {"fingerprint": "mtest"}
    ok, errors = receipts
    assert (ok.ranges, ok.summary.num_ok, ok.summary.num_errors) == ({0: [(0, 4), (5, 10)]}, 9, 0)
    assert (errors.ranges, errors.summary.num_ok, errors.summary.num_errors) == ({0: [(4, 5)]}, 0, 1)
    assert errors.summary.error_examples == {"decode/truncated": [["/data/0/4.jpg", "cut off"]]}


def test_no_file_is_written_without_rows(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(3)), number=0)
    assert not Path(plan.paths.errors).exists()
    write_part(plan, predicted_block(1, range(2), bad=[0, 1]), number=1)
    assert len(list(Path(plan.paths.rows).iterdir())) == 1


def test_the_counters_of_the_task_are_committed_in_the_receipt_of_each_file(plan: SinkPlan) -> None:
    counting = replace(plan, counts=lambda table: {"task/num_rows": len(table)})
    names = write_part(counting, predicted_block(0, range(10), bad=[4]), number=0)
    files = [Path(folder, name) for name, folder in zip(names, (plan.paths.errors, plan.paths.rows), strict=True)]
    receipts = [Receipt.from_footer(pq.read_metadata(file).metadata) for file in files]
    assert [receipt and receipt.summary.counters for receipt in receipts] == [
        {"task/num_rows": 1},
        {"task/num_rows": 9},
    ]


def test_each_file_carries_the_picks_of_its_own_rows(plan: SinkPlan) -> None:
    ranked = replace(plan, rankings=lambda rows: [Ranking("most_confident", -rows["score"].to_numpy())])
    write_part(ranked, predicted_block(1, [3, 0, 2, 1], bad=[2]), number=1)
    (rows,), (errors,) = (list(Path(folder).iterdir()) for folder in (plan.paths.rows, plan.paths.errors))
    picked = {}
    for part in (rows, errors):
        footer = pq.read_metadata(part)
        picked |= from_footer(footer.metadata, num_rows=footer.num_rows)
    assert {name: [pick.place for pick in picks] for name, picks in picked.items()} == {
        "most_confident": [2, 1, 0],
        "error/decode/truncated": [0],
    }


def test_a_name_is_the_digest_of_the_file(plan: SinkPlan) -> None:
    names = write_part(plan, predicted_block(0, range(3), bad=[1]), number=7)
    for name, folder in zip(names, (plan.paths.errors, plan.paths.rows), strict=True):
        digest = hashlib.sha256(Path(folder, name).read_bytes()).hexdigest()
        assert name == f"part-000007-{digest[:32]}.parquet"


def test_attempts_overwrite_each_other_only_if_they_are_equal(plan: SinkPlan) -> None:
    for rows in (range(3), range(3), range(4)):
        write_part(plan, predicted_block(0, rows), number=0)
    assert len(list(Path(plan.paths.rows).iterdir())) == 2


@dataclass(frozen=True)
class Driver:
    staging: str
    held: bool = True

    def is_held(self) -> bool:
        return self.held


def test_nothing_is_written_once_another_driver_holds_the_output(plan: SinkPlan, tmp_path: Path) -> None:
    with pytest.raises(ReplacedError, match="held by another run"):
        write_part(replace(plan, guard=Driver(str(tmp_path), held=False)), predicted_block(0, range(3)), number=0)
    assert not Path(plan.paths.rows).exists()


def test_a_part_is_staged_where_its_driver_says_and_not_once_that_is_gone(plan: SinkPlan) -> None:
    staging = Staging(plan.paths.root, "a1")
    staging.open()
    plan = replace(plan, guard=Driver(staging.folder))
    (name,) = write_part(plan, predicted_block(0, range(3)), number=0)
    assert [path.name for path in Path(plan.paths.rows).iterdir()] == [name]
    staging.close()
    with pytest.raises(ReplacedError, match="has ended"):
        write_part(plan, predicted_block(0, range(4)), number=0)
    assert [path.name for path in Path(plan.paths.rows).iterdir()] == [name]


STALLS = """
import sys
from blocks import predicted_block
from test_part_writer import Driver
from actors.writing.run_paths import RunPaths
from actors.writing.part_writer import SinkPlan, write_part
from actors.storage.store import Storage

paths = RunPaths(sys.argv[1], "mtest", "r1")
plan = SinkPlan(paths, Storage(), {}, 100, guard=Driver(sys.argv[2]), stall_s=0.5)
write_part(plan, predicted_block(0, range(3)), number=0)
"""


@pytest.mark.slow
def test_a_disk_that_hangs_ends_the_writer_and_leaves_no_part(plan: SinkPlan, tmp_path: Path) -> None:
    staging = Staging(plan.paths.root, "a1")
    staging.open()
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    environment = {**os.environ, VARIABLE: f"write.syncing:1:hang:{tmp_path}", "PYTHONPATH": path}
    command = [sys.executable, "-c", STALLS, plan.paths.root, staging.folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert "write_staged" in done.stderr  # the point where it hung
    assert len(list(Path(staging.folder).iterdir())) == 1
    assert not list(Path(plan.paths.rows).iterdir())
    staging.close()
    assert not list(tmp_path.glob("_staging*"))


def test_parts_are_zstd(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(3)), number=0)
    column = pq.read_metadata(only_file(plan.paths.rows)).row_group(0).column(0)
    assert column.compression == "ZSTD"


def test_an_output_that_refuses_says_why_and_what_to_do(s3: S3) -> None:
    plan = SinkPlan(RunPaths("s3://no-such-bucket/out", "mtest", "r1"), Storage(s3.options), {}, 100)
    with pytest.raises(
        OutputError, match=r"s3://no-such-bucket/out/rows.*cannot be written.*run the same command again"
    ):
        write_part(plan, predicted_block(0, range(3)), number=0)


class Counting:
    def __init__(self) -> None:
        self.files: list[tuple[float, int]] = []

    def count_part(self, seconds: float, num_bytes: int) -> None:
        self.files.append((seconds, num_bytes))


def test_each_file_that_was_written_is_told_with_its_size(plan: SinkPlan) -> None:
    told = Counting()
    names = write_part(replace(plan, observer=told), predicted_block(0, range(10), bad=[4]), number=0)
    sizes = [only_file(folder).stat().st_size for folder in (plan.paths.errors, plan.paths.rows)]
    assert len(names) == 2
    assert [size for _, size in told.files] == sizes
    assert all(seconds > 0 for seconds, _ in told.files)


def test_no_column_of_our_own_comes_into_the_rows(plan: SinkPlan) -> None:
    block = predicted_block(0, range(2))
    write_part(plan, block.append_column("_read_bytes", pa.array([7, 7])), number=0)
    rows = pq.read_table(only_file(plan.paths.rows), partitioning=None)
    assert rows.column_names == ["image_id", "uri", "score"]


def test_no_user_or_password_of_a_url_comes_into_a_part(plan: SinkPlan) -> None:
    block = predicted_block(0, range(3), bad=[1])
    for name in ("image_id", "uri"):
        urls = pa.array([f"https://me:SECRET@host/{row}.jpg?page=1" for row in range(3)])
        block = block.set_column(block.schema.get_field_index(name), name, urls)
    write_part(plan, block, number=0)
    for folder, rows in ((plan.paths.rows, [0, 2]), (plan.paths.errors, [1])):
        table = pq.read_table(only_file(folder), partitioning=None)
        assert table["image_id"].to_pylist() == table["uri"].to_pylist()
        assert table["uri"].to_pylist() == [f"https://host/{row}.jpg?page=1" for row in rows]
        assert "SECRET" not in str(pq.read_metadata(only_file(folder)).metadata)  # it contains examples of errors
