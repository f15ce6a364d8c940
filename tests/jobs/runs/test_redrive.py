from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from finished import add_photos, finish, listed, opened, write_shard

from actors.columns import VERSION
from actors.errors import JobError
from jobs.job import Job
from jobs.runs.opening import Run


def names(run: Run, folder: str) -> list[str]:
    """Returns the images that have a row in ``rows`` or ``errors`` of a run, whatever the model."""
    root = Path(run.paths.root, folder)
    if not root.exists():
        return []
    uris = ds.dataset(root, partitioning="hive").to_table()["uri"].to_pylist() if list(root.rglob("*.parquet")) else []
    return sorted(Path(uri).stem for uri in uris)


def test_the_error_rows_of_all_runs_become_a_run_and_move_when_it_is_published(job: Job, images: Path) -> None:
    first = opened(job)
    finish(first, bad=["1.jpg", "3.jpg"])
    add_photos(images, [7, 8])
    second = opened(job)
    finish(second, bad=["8.jpg"])
    again = opened(job, redrive=True)
    assert listed(again) == list("138")
    assert sorted(again.record.redrives) == sorted([first.paths.run_id, second.paths.run_id])
    assert names(again, "errors") == list("138")
    finish(again, bad=["3.jpg"])
    assert names(again, "rows") == list("0124578".replace("5", ""))
    assert names(again, "errors") == ["3"]
    manifest = json.loads(Path(first.paths.manifest).read_text())
    assert manifest["redriven_by"] == again.paths.run_id
    assert manifest["num_errors"] == 2


def test_what_failed_again_is_tried_again_and_nothing_else(job: Job) -> None:
    finish(opened(job), bad=["1.jpg", "3.jpg"])
    finish(opened(job, redrive=True), bad=["3.jpg"])
    third = opened(job, redrive=True)
    assert listed(third) == ["3"]
    finish(third)
    assert listed(opened(job, redrive=True)) == []
    assert names(third, "errors") == []


def test_a_redrive_in_which_all_failed_again_is_gone_on_with(job: Job) -> None:
    """Such a run is not published, so its error rows must not count as outcomes the next time."""
    finish(opened(job), bad=["1.jpg"])
    failed = opened(job, redrive=True)
    write_shard(failed, 0, bad=["1.jpg"])
    assert failed.collect().coverage.num_missing == 0
    again = opened(job, redrive=True)
    assert again.paths == failed.paths
    assert again.collect().coverage.num_missing == 1


@pytest.mark.parametrize("lost", ["the run", "its manifest", "its inventory"])
def test_a_run_that_was_removed_or_damaged_stops_no_later_job(
    lost: str, job: Job, images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = opened(job)
    finish(first, bad=["1.jpg"])
    finish(opened(job, redrive=True))
    if lost == "the run":
        shutil.rmtree(first.paths.run)
    elif lost == "its manifest":
        Path(first.paths.manifest).write_bytes(b"[" * 200_000)
    else:
        for file in Path(first.paths.inventory).iterdir():
            file.write_bytes(b"PAR1")
    add_photos(images, [7])
    again = opened(job)
    assert "7" in listed(again)
    assert first.paths.run_id in caplog.text
    finish(again)
    opened(job, redrive=True)


def test_an_image_that_was_mended_is_not_new_as_well(job: Job, images: Path) -> None:
    finish(opened(job), bad=["1.jpg"])
    (images / "1.jpg").write_bytes((images / "2.jpg").read_bytes())
    again = opened(job, redrive=True)
    status = (images / "1.jpg").stat()
    assert again.shards.load(0)[VERSION].to_pylist() == [f"{status.st_size}-{status.st_mtime_ns}"]
    finish(again)
    assert listed(opened(job)) == []


def test_an_image_that_is_gone_stays_an_error(job: Job, images: Path) -> None:
    finish(opened(job), bad=["1.jpg"])
    (images / "1.jpg").unlink()
    assert listed(opened(job, redrive=True)) == ["1"]


def test_a_move_that_was_broken_off_ends_at_the_next_start(job: Job) -> None:
    first = opened(job)
    finish(first, bad=["1.jpg"])
    kept = {path: path.read_bytes() for path in Path(first.paths.errors).iterdir()}
    before = Path(first.paths.manifest).read_bytes()
    finish(opened(job, redrive=True))
    Path(first.paths.manifest).write_bytes(before)
    for path, data in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert listed(opened(job)) == []
    assert names(first, "errors") == []
    assert "redriven_by" in json.loads(Path(first.paths.manifest).read_text())


def test_of_an_unfinished_run_the_error_rows_are_missing_again(job: Job) -> None:
    first = opened(job)
    write_shard(first, 0, bad=["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"])
    assert len(names(first, "errors")) == 2
    again = opened(job, redrive=True)
    assert again.paths == first.paths
    assert names(first, "errors") == []


def test_a_redrive_that_was_broken_off_is_gone_on_with(job: Job) -> None:
    finish(opened(job), bad=["1.jpg", "2.jpg", "3.jpg"])
    broken = opened(job, redrive=True)
    write_shard(broken, 0, bad=["1.jpg", "2.jpg", "3.jpg"])
    num_failed = len(names(broken, "errors"))
    again = opened(job, redrive=True)
    assert again.paths == broken.paths
    assert len(names(broken, "errors")) == num_failed  # what was retried once is not retried again


def test_a_run_that_ended_cannot_be_the_one_that_tries_again(job: Job) -> None:
    first = opened(job)
    finish(first, bad=["1.jpg"])
    with pytest.raises(JobError, match=f"run.id={first.paths.run_id}: that run is already published"):
        opened(job, redrive=True, id=first.paths.run_id)


def test_error_rows_that_a_damaged_inventory_cannot_name_are_left_and_others_tried_again(
    job: Job, images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = opened(job)
    finish(first, bad=["1.jpg"])
    add_photos(images, [7])
    second = opened(job)
    finish(second, bad=["7.jpg"])
    (file,) = Path(first.paths.inventory).iterdir()
    data = file.read_bytes()
    file.write_bytes(data[:4] + bytes(200) + data[204:])
    again = opened(job, redrive=True)
    assert (listed(again), again.record.redrives) == (["7"], [second.paths.run_id])
    assert f"run {first.paths.run_id}: inventory damaged" in caplog.text
    finish(again)
    assert names(first, "errors") == ["1"]
