"""The same command again: after a crash, concurrently with itself, over a dataset that grew, and for failed images."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from photos import jpeg
from proven import verdict

NUM_IMAGES = 120


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    add(folder, range(NUM_IMAGES))
    return folder


@pytest.fixture
def job(images: Path) -> tuple[str, ...]:
    small = ("run.shard_size=8", "batch_size=8", "output.rows_per_part=16")
    return ("+dataset=images", f"dataset.path={images}", "model=digits", "output.path=out", *small)


def add(folder: Path, numbers: range, *, bad: bool = False) -> None:
    for number in numbers:
        data = b"not an image" if bad else jpeg(number, width=40, height=30)
        (folder / f"{number:04d}.jpg").write_bytes(data)


def names(folder: Path) -> list[str]:
    files = list(folder.rglob("*.parquet"))
    return sorted(Path(uri).stem for uri in ds.dataset(files).to_table()["uri"].to_pylist()) if files else []


def listed(printed: list[str]) -> str:
    """Returns the printed image counts of a run."""
    return next(line.removeprefix("images").strip() for line in printed if line.startswith("images"))


def wait_for(file: Path, process: subprocess.Popen[str], *, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not file.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, file
        time.sleep(0.02)


def test_a_killed_driver_loses_no_part_and_the_same_command_ends_the_run(
    job: tuple[str, ...],
    batch_infer,  # noqa: ANN001
    start_batch_infer,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    process = start_batch_infer(*job, faults=f"write.done:3:mark:{tmp_path}")
    wait_for(tmp_path / "write.done.3", process)
    process.kill()
    process.communicate()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/rows").rglob("part-*.parquet")}
    assert len(kept) >= 3
    done = batch_infer(*job)
    assert done.returncode == 0, done.stderr
    assert re.search(r"120 images, (\d+) of them done before", done.stderr)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert "120 listed = 120 ok + 0 errors" in verdict(tmp_path / "out")
    assert len(names(tmp_path / "out/rows")) == len(set(names(tmp_path / "out/rows"))) == NUM_IMAGES


def test_of_two_drivers_one_leaves_with_5_and_a_dead_one_is_followed(
    job: tuple[str, ...],
    batch_infer,  # noqa: ANN001
    start_batch_infer,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    first = start_batch_infer(*job, faults=f"commit.cleaned:1:hang:{tmp_path}")
    wait_for(tmp_path / "commit.cleaned.1", first)
    second = batch_infer(*job)
    assert second.returncode == 5, second.stderr
    assert str(first.pid) in second.stderr
    first.kill()
    first.communicate()
    third = batch_infer(*job)
    assert third.returncode == 0, third.stderr
    assert "120 images, 120 of them done before" in third.stderr
    verdict(tmp_path / "out")


def test_a_dataset_that_grew_costs_what_is_new_and_what_failed_is_tried_again(
    job: tuple[str, ...],
    images: Path,
    infer,  # noqa: ANN001
    batch_infer,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    add(images, range(200, 203), bad=True)
    assert listed(infer(*job)) == "123 listed = 120 ok + 3 errors"
    add(images, range(300, 304))
    assert listed(infer(*job)) == "4 listed = 4 ok + 0 errors"
    third = batch_infer(*job)
    assert (third.returncode, "nothing to do" in third.stderr) == (0, True)
    assert "Ray" not in third.stderr
    add(images, range(201, 203))
    assert listed(infer(*job, "run.redrive=true")) == "3 listed = 2 ok + 1 errors"
    assert names(tmp_path / "out/errors") == ["0200"]
    assert len(names(tmp_path / "out/rows")) == len(set(names(tmp_path / "out/rows"))) == 126
    assert "nothing to do" in batch_infer(*job).stderr
    verdict(tmp_path / "out")


def test_too_many_errors_end_the_run_early_and_a_larger_budget_goes_on(
    job: tuple[str, ...],
    images: Path,
    batch_infer,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    add(images, range(1000, 4000), bad=True)
    larger = ("run.shard_size=64", "batch_size=16", "output.rows_per_part=256")
    first = batch_infer(*job, *larger, "errors.max_count=20")
    assert first.returncode == 3, first.stderr
    left = re.search(r"3,120 listed = (\d+) ok \+ ([\d,]+) errors \+ ([\d,]+) still to do", first.stdout)
    assert left, first.stdout
    assert "decode/unidentified, such as" in first.stdout
    second = batch_infer(*job, *larger, "errors.max_ratio=1")
    assert second.returncode == 0, second.stderr
    assert "3,120 listed = 120 ok + 3,000 errors" in verdict(tmp_path / "out")


def test_a_signal_lets_what_is_in_flight_end(
    job: tuple[str, ...],
    start_batch_infer,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    add(tmp_path / "images", range(NUM_IMAGES, 1500))
    process = start_batch_infer(*job, faults=f"predict.done:2:mark:{tmp_path}")
    wait_for(tmp_path / "predict.done.2", process)
    process.send_signal(signal.SIGTERM)  # and SIGINT: tests/jobs/cli/test_shutdown.py
    said, log = process.communicate(timeout=60)
    assert process.returncode == 4, log
    assert "the same command resumes" in log
    assert re.search(r"1,500 listed = \d+ ok \+ 0 errors \+ [\d,]+ still to do", said), said
    assert Path(said.splitlines()[-1]).parent.name == "runs"
    assert not list((tmp_path / "out").rglob("_SUCCESS"))
    assert len(names(tmp_path / "out/rows")) >= 16
