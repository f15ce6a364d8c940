from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import flaky
import numpy as np
import pyarrow.dataset as ds
import pytest
from blocks import predicted_block
from disks import FillingStorage, make_room, small_disk
from s3 import S3

from actors.errors import OutputError
from actors.fault_injection import VARIABLE
from actors.row_ranges import Piece
from actors.storage.retries import Retry
from actors.storage.store import Storage
from actors.writing.part_writer import SinkPlan, write_part
from actors.writing.parts import find_parts
from actors.writing.run_paths import RunPaths
from jobs.leases.lease import hold
from jobs.runs.commit import IncompleteRunError, Outcome, collect, publish
from jobs.runs.coverage import StrangeRowsError
from jobs.runs.readable import UnreadableRunError

SIZES = np.array([5, 3], np.int32)
STORAGE = Storage()


@pytest.fixture
def plan(tmp_path: Path) -> SinkPlan:
    return SinkPlan(RunPaths(str(tmp_path), "mtest", "r1"), STORAGE, {}, 100)


def files(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def collected(plan: SinkPlan) -> Outcome:
    return collect(plan.paths, STORAGE, SIZES)


def test_where_no_image_failed_errors_are_read_as_no_rows(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    for _ in range(2):  # a command that was killed before `_SUCCESS` publishes again
        publish(collected(plan), plan.paths, STORAGE, {"run_id": "r1"})
        errors = ds.dataset(plan.paths.errors).to_table()
        assert (len(errors), errors.column_names[-1]) == (0, "message")
        (entry,) = json.loads(Path(plan.paths.manifest).read_text())["errors"]
        (file,) = Path(plan.paths.errors).iterdir()
        assert (entry["file"], entry["num_rows"], entry["size_bytes"]) == (file.name, 0, file.stat().st_size)
        assert file.name.startswith("empty-000000-")


def test_a_whole_run_is_published(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5), bad=[1]), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    publish(collected(plan), plan.paths, STORAGE, {"run_id": "r1"})
    manifest = json.loads(Path(plan.paths.manifest).read_text())
    assert (manifest["num_listed"], manifest["num_ok"], manifest["num_errors"]) == (8, 7, 1)
    assert {part["file"] for part in manifest["rows"]} == files(plan.paths.rows)
    assert [part["num_rows"] for part in manifest["rows"]] == [4, 3]
    assert manifest["rows"][0]["ranges"] == {"0": [[0, 1], [2, 5]]}
    assert manifest["errors"][0]["ranges"] == {"0": [[1, 2]]}
    assert all(part["digest"] in part["file"] and len(part["digest"]) == 32 for part in manifest["rows"])
    assert Path(plan.paths.success).exists()


@pytest.mark.parametrize("name", ["manifest.json", "_SUCCESS"])
def test_a_store_that_takes_no_document_is_named_with_the_fix(name: str, s3: S3, tmp_path: Path) -> None:
    with flaky.serve(s3.url) as proxy:
        storage = Storage(proxy.options(s3), Retry(first_wait_s=0.001))
        root = f"s3://{s3.bucket}{tmp_path}"
        plan = SinkPlan(RunPaths(root, "mtest", "r1"), storage, {}, 100)
        for shard, size in enumerate(SIZES):
            write_part(plan, predicted_block(shard, range(size)), number=shard)
        proxy.damage(f"/{name}", *["slow_down"] * 5)
        outcome = collect(plan.paths, storage, SIZES)
        with pytest.raises(OutputError, match=rf"/{name}: cannot be written: .*503.*5 attempts.*same command again"):
            publish(outcome, plan.paths, storage, {})
        assert storage.kind(plan.paths.success) is None
        publish(outcome, plan.paths, storage, {})
        assert storage.kind(plan.paths.success) == "file"


def test_an_output_given_as_a_file_uri_is_published_as_well(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    plan = SinkPlan(RunPaths(f"file://{tmp_path}/a%20b", "mtest", "r1"), STORAGE, {}, 100)
    write_part(plan, predicted_block(0, range(5), bad=[1]), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    publish(collected(plan), plan.paths, STORAGE, {"run_id": "r1"})
    assert (folder / "runs" / "r1" / "_SUCCESS").exists()


def test_a_stranger_reads_each_row_once(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    write_part(plan, predicted_block(0, range(5)), number=1)  # the same rows from another attempt
    write_part(plan, predicted_block(1, range(3)), number=1)
    publish(collected(plan), plan.paths, STORAGE, {})
    rows = ds.dataset(f"{plan.paths.root}/rows", partitioning="hive").to_table()
    assert sorted(rows["image_id"].to_pylist()) == [f"0/{row}.jpg" for row in range(5)] + [
        f"1/{n}.jpg" for n in range(3)
    ]
    assert set(rows["model"].to_pylist()) == {"mtest"}


@pytest.mark.parametrize(
    ("rows", "missing"), [(range(4), ((4, 5),)), (range(1, 5), ((0, 1),)), ([0, 1, 3, 4], ((2, 3),))]
)
def test_a_missing_row_is_named_and_nothing_is_deleted(
    plan: SinkPlan, rows: list[int], missing: tuple[tuple[int, int], ...]
) -> None:
    write_part(plan, predicted_block(0, rows), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    write_part(plan, predicted_block(1, range(3)), number=2)
    outcome = collected(plan)
    assert outcome.coverage.missing() == [Piece(0, missing)]
    with pytest.raises(IncompleteRunError, match=r"1 images have no outcome \(shard 0, rows "):
        publish(outcome, plan.paths, STORAGE, {})
    assert len(files(plan.paths.rows)) == 3
    assert not Path(plan.paths.manifest).exists()


def test_what_another_slice_misses_is_not_published_either(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    own = collect(plan.paths, STORAGE, SIZES, own=np.array([True, False]))
    assert own.coverage.num_missing == 0
    with pytest.raises(IncompleteRunError, match=r"3 images have no outcome \(of other slices\)"):
        publish(own, plan.paths, STORAGE, {})
    assert not Path(plan.paths.manifest).exists()


@pytest.mark.parametrize(("shard", "rows"), [(1, range(1, 4)), (2, range(1))])
def test_rows_that_were_never_listed(plan: SinkPlan, shard: int, rows: range) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    write_part(plan, predicted_block(shard, rows), number=1)
    with pytest.raises(StrangeRowsError, match=f"shard {shard}"):
        collected(plan)


def test_nothing_written_at_all(plan: SinkPlan) -> None:
    assert collected(plan).coverage.num_missing == 8
    assert collect(plan.paths, STORAGE, np.array([], np.int32)).coverage.num_missing == 0


def test_each_file_of_an_attempt_that_died_between_its_two_stands_alone(plan: SinkPlan) -> None:
    names = write_part(plan, predicted_block(0, range(5), bad=[2]), number=0)
    Path(plan.paths.rows, names[1]).unlink()
    outcome = collected(plan)
    assert outcome.coverage.missing() == [Piece(0, ((0, 2), (3, 5))), Piece(1, ((0, 3),))]
    write_part(plan, predicted_block(0, [0, 1, 3, 4]), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    publish(collected(plan), plan.paths, STORAGE, {})
    assert files(plan.paths.errors) == {names[0]}


def test_of_attempts_that_overlap_the_larger_stands_and_goes_on_standing(plan: SinkPlan) -> None:
    small, large = (write_part(plan, predicted_block(0, rows), number=0)[0] for rows in ([3, 4], range(4)))
    first = collected(plan)
    assert [part.uri.rpartition("/")[2] for part in first.leftover] == [small]
    write_part(plan, predicted_block(0, [4]), number=1)
    write_part(plan, predicted_block(1, range(3)), number=1)
    second = collect(plan.paths, STORAGE, SIZES, before=first)
    assert large in {part.uri.rpartition("/")[2] for part in second.rows}
    assert second.coverage.num_missing == 0
    publish(second, plan.paths, STORAGE, {})
    assert len(files(plan.paths.rows)) == 3


def test_a_disk_that_is_full_when_a_run_is_published_is_told_and_the_run_is_published_later(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        plan = SinkPlan(RunPaths(str(disk / "out"), "mtest", "r1"), STORAGE, {}, 100)
        write_part(plan, predicted_block(0, range(5)), number=0)
        write_part(plan, predicted_block(1, range(3)), number=1)
        with pytest.raises(OutputError, match=r"cannot be written: the disk is full .*run the same command again"):
            publish(collected(plan), plan.paths, FillingStorage(disk, "manifest.json"), {})
        assert not Path(plan.paths.success).exists()
        make_room(disk)
        publish(collected(plan), plan.paths, STORAGE, {})
        assert Path(plan.paths.success).exists()


def test_half_files_of_a_dead_writer_are_removed_and_strangers_are_left(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    folder = Path(plan.paths.rows)
    half = (folder / min(files(plan.paths.rows))).read_bytes()[:-20]
    (folder / "part-000009-half.parquet").write_bytes(half)
    (folder / ".part-000009-x.parquet.1.tmp").write_bytes(half)
    (folder / "notes.txt").write_text("mine")
    publish(collected(plan), plan.paths, STORAGE, {})
    assert len(files(plan.paths.rows)) == 3
    assert "notes.txt" in files(plan.paths.rows)


def test_a_staged_file_never_counts_however_whole_it_is(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    (name,) = write_part(plan, predicted_block(1, range(3)), number=1)
    part = Path(plan.paths.rows, name)
    part.rename(part.with_name(f".{name}.{'0' * 32}.tmp"))  # as earlier versions staged it
    outcome = collected(plan)
    assert outcome.coverage.missing() == [Piece(1, ((0, 3),))]
    write_part(plan, predicted_block(1, range(3)), number=1)
    publish(collected(plan), plan.paths, STORAGE, {})
    assert len(files(plan.paths.rows)) == 2
    assert ds.dataset(f"{plan.paths.root}/rows").count_rows() == 8


def test_what_dead_drivers_left_of_documents_is_removed_and_reports_of_slices_are_not(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    name = f"x.json.{'0' * 32}.tmp"
    half = [Path(plan.paths.run, f".{name}"), Path(plan.paths.inventory, f".{name}")]
    kept = [Path(plan.paths.run, "slices", f".{name}"), Path(plan.paths.run, name)]
    for path in (*half, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    publish(collected(plan), plan.paths, STORAGE, {})
    assert [path.exists() for path in (*half, *kept)] == [False, False, True, True]


def test_files_that_readers_would_take_for_rows_stop_the_publication(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    (name,) = write_part(plan, predicted_block(1, range(3)), number=1)
    foreign = Path(plan.paths.rows, "mine.parquet")
    foreign.write_bytes(Path(plan.paths.rows, name).read_bytes())
    with pytest.raises(UnreadableRunError, match=r"mine\.parquet is not one of its parts"):
        publish(collected(plan), plan.paths, STORAGE, {})
    assert not Path(plan.paths.manifest).exists()
    foreign.unlink()
    publish(collected(plan), plan.paths, STORAGE, {})
    assert Path(plan.paths.success).exists()


WRITER = """
import sys
from blocks import predicted_block
from actors.writing.run_paths import RunPaths
from actors.writing.part_writer import ReplacedError, SinkPlan, write_part
from actors.storage.store import Storage
from jobs.leases.lease import hold

paths = RunPaths(sys.argv[1], "mtest", "r1")
with hold(paths.root, Storage(), ttl_s=0.6, on_lost=lambda _: None) as lease:
    try:
        write_part(SinkPlan(paths, Storage(), {}, 100, lease.token), predicted_block(0, range(5)), number=0)
    except ReplacedError as error:
        print(error)
"""


def test_a_driver_and_a_writer_that_wake_up_after_the_publication_change_nothing(
    plan: SinkPlan, tmp_path_factory: pytest.TempPathFactory
) -> None:
    marks = tmp_path_factory.mktemp("marks")
    environment = {**os.environ, VARIABLE: f"write.staged:1:hang:{marks}", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, plan.paths.root]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as zombie:
        while not (marks / "write.staged.1").exists():
            assert zombie.poll() is None
            time.sleep(0.01)
        zombie.send_signal(signal.SIGSTOP)
        with hold(plan.paths.root, STORAGE, ttl_s=0.6, on_lost=lambda _: None) as lease:
            held = replace(plan, guard=lease.token)
            assert collected(plan).coverage.num_missing == 8  # a staged file is not a part
            write_part(held, predicted_block(0, range(5), bad=[4]), number=0)
            write_part(held, predicted_block(1, range(3)), number=1)
            publish(collected(plan), plan.paths, STORAGE, {})
        before = files(plan.paths.rows)
        (marks / "go_on").touch()
        zombie.send_signal(signal.SIGCONT)
        assert "has ended" in zombie.communicate(timeout=60)[0]
    assert files(plan.paths.rows) == before
    assert ds.dataset(f"{plan.paths.root}/rows").count_rows() == 7
    assert not Path(plan.paths.root, "_staging").exists()


def test_what_stood_before_is_not_read_again(plan: SinkPlan) -> None:
    (name,) = write_part(plan, predicted_block(0, range(5)), number=0)
    before = collected(plan)
    Path(plan.paths.rows, name).write_bytes(b"no longer Parquet")
    assert collect(plan.paths, STORAGE, SIZES, before=before).coverage.num_missing == 3
    assert collected(plan).coverage.num_missing == 8


def test_parts_of_another_run_are_not_seen(plan: SinkPlan) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    other = RunPaths(plan.paths.root, "mtest", "r2")
    assert find_parts(other.rows, STORAGE, {}) == []
