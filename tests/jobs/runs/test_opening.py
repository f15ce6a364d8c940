from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from disks import FillingStorage, make_room, small_disk
from finished import CHECKED, PROVENANCE, add_photos, another, finish, listed, opened, write_shard
from s3 import S3

from actors.errors import JobError, OutputError
from actors.storage.store import Storage
from jobs.job import Job, Mode, Output, Resume
from jobs.runs.opening import open_run


def test_the_inventory_is_fixed_when_the_run_opens(job: Job) -> None:
    run = opened(job)
    assert list(run.shards.sizes) == [2, 2, 1]
    assert listed(run) == list("01234")
    record = json.loads(Path(run.paths.record).read_text())
    assert record.items() >= {"num_listed": 5, "num_shards": 3, "mode": "incremental", **PROVENANCE}.items()
    assert len(record["inventory_digest"]) == 64


def test_an_output_given_as_a_file_uri_is_found_again(job: Job, tmp_path: Path) -> None:
    job = replace(job, output=Output(path=f"file://{tmp_path}/o%20ut"))
    finish(opened(job))
    assert listed(opened(job)) == []
    assert (tmp_path / "o ut" / "runs").exists()


def test_the_config_is_kept_without_secrets(job: Job) -> None:
    text = Path(opened(job).paths.config).read_text()
    assert "shard_size: 2" in text
    assert "hush" not in text


def test_a_name_is_made_when_none_is_given(job: Job) -> None:
    first = opened(job)
    finish(first)
    assert first.paths.run_id[:2] == "20"
    assert opened(job).paths.run_id != first.paths.run_id


@pytest.mark.parametrize("run_id", ["a/b", "..", "", "-x", "a" * 101, "a b", "é"])
def test_names_that_are_no_folder(job: Job, run_id: str) -> None:
    with pytest.raises(JobError, match=r"run.id="):
        opened(job, id=run_id)


def test_a_run_that_ended_is_not_opened_again(job: Job) -> None:
    finish(opened(job, id="r1"))
    assert opened(job, id="r1").record.is_published


def test_the_same_job_goes_on_with_its_unfinished_run(job: Job, images: Path) -> None:
    first = opened(job)
    write_shard(first, 0)
    add_photos(images, [5, 6])  # images added in the meantime are for the next run
    again = opened(job)
    assert again.paths == first.paths
    assert again.record == first.record
    assert listed(again) == list("01234")
    finish(again)
    assert listed(opened(job)) == list("56")


def test_a_listing_that_was_broken_off_is_made_again_under_its_name(job: Job) -> None:
    first = opened(job, id="r1")
    Path(first.paths.record).unlink()
    assert listed(opened(job, id="r1")) == list("01234")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"fingerprint": "mother"}, "model, pre-processing or task"),
        ({"dataset_digest": "other"}, "dataset"),
    ],
)
def test_another_job_is_told_so_and_never_mixed_in(
    job: Job, change: dict[str, str], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = opened(job, id="r1")
    with pytest.raises(JobError, match=f"run.id=r1: a job with a different {what} used that id"):
        opened(job, another(**change), id="r1")
    assert opened(job, another(**change)).paths.run_id != first.paths.run_id
    assert f"run r1 is unfinished but has a different {what}" in caplog.text


def test_a_full_run_does_not_go_on_with_an_incremental_one(job: Job) -> None:
    first = opened(job)
    assert opened(job, mode=Mode.full).paths.run_id != first.paths.run_id


def test_resume_never_names_what_it_refuses(job: Job) -> None:
    first = opened(job)
    for run_id in (None, first.paths.run_id):
        with pytest.raises(JobError, match=f"run.resume=never: run {first.paths.run_id} of this job"):
            opened(job, resume=Resume.never, id=run_id)
    finish(first)
    assert opened(job, resume=Resume.never).paths != first.paths


def test_a_new_run_takes_new_and_changed_images_alone(job: Job, images: Path) -> None:
    finish(opened(job))
    add_photos(images, [3, 5, 6])
    run = opened(job)
    assert listed(run) == list("356")
    finish(run)
    (images / "0.jpg").write_bytes((images / "1.jpg").read_bytes())
    assert listed(opened(job)) == ["0"]


def test_nothing_new_is_a_run_of_nothing(job: Job) -> None:
    finish(opened(job))
    assert opened(job).shards.num_rows == 0


@pytest.mark.parametrize(
    ("change", "mode"),
    [({"fingerprint": "mother"}, Mode.incremental), ({"columns_digest": "x"}, Mode.incremental), ({}, Mode.full)],
)
def test_another_model_other_columns_and_a_full_run_take_every_image(
    job: Job, change: dict[str, str], mode: Mode
) -> None:
    finish(opened(job))
    assert listed(opened(job, another(**change), mode=mode)) == list("01234")


@pytest.mark.parametrize("path", ["{tmp}/file/out", "s3://no-such-bucket/out"])
def test_an_output_that_cannot_be_written(job: Job, path: str, tmp_path: Path, s3: S3) -> None:
    (tmp_path / "file").write_text("in the way")
    place = path.format(tmp=tmp_path)
    with pytest.raises(JobError, match=f"output.path={place}: cannot be written"):
        open_run(replace(job, output=Output(path=place)), CHECKED, Storage(s3.options))


@pytest.mark.parametrize("ending", ["config.yaml", "inventory-00000.parquet", "run.json"])
def test_a_disk_that_is_full_while_a_run_opens_is_told_and_the_run_opens_later(
    ending: str, job: Job, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        job = replace(job, output=Output(path=str(disk / "out")))
        with pytest.raises(OutputError, match=r"the disk is full .*; free some space, and run the same"):
            open_run(job, CHECKED, FillingStorage(disk, ending))
        make_room(disk)
        run = opened(job)
        assert listed(run) == list("01234")
        finish(run)


def test_a_run_whose_inventory_is_damaged_is_left_and_its_images_are_taken_again(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    first = opened(job, id="r1")
    next(Path(first.paths.inventory).iterdir()).write_bytes(b"PAR1" + bytes(99))
    with pytest.raises(JobError, match=r"run\.id=r1: the run's inventory is missing or damaged"):
        opened(job, id="r1")
    again = opened(job)
    assert again.paths.run_id != "r1"
    assert listed(again) == list("01234")
    assert "run r1: inventory missing or damaged" in caplog.text


def test_a_run_is_an_addition_where_others_of_the_same_columns_have_images(job: Job, images: Path) -> None:
    first = opened(job)
    assert not first.is_addition
    finish(first)
    add_photos(images, [7])
    added = opened(job)
    assert added.is_addition
    assert opened(job).paths == added.paths
    assert opened(job).is_addition  # resumed
    assert not open_run(job, another(columns_digest="x"), Storage()).is_addition
    assert not opened(job, mode=Mode.full).is_addition
