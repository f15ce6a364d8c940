from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from finished import job_over, opened

from actors.columns import TARGET
from actors.errors import JobError
from actors.reading.fetcher import Fetcher
from actors.sample.photo import NUM_CLASSES, jpeg
from actors.sample.photo_files import Form, PhotoFiles, make
from actors.storage.store import Storage
from jobs.datasets.base import Dataset
from jobs.datasets.images import ImagesDataset
from jobs.datasets.parquet import ParquetDataset
from jobs.datasets.webdataset import WebDataset

SMALL = PhotoFiles(images=25, per_file=10, width=24, height=18)
DATASETS: dict[Form, Callable[[str], Dataset]] = {
    Form.folder: lambda path: ImagesDataset(path=path, folder_labels=True),
    Form.parquet: lambda path: ParquetDataset(path=path, label_column="label"),
    Form.tar: lambda path: WebDataset(path=path, label_column="cls"),
}


def made(photos: PhotoFiles, folder: Path) -> tuple[int, int]:
    return list(make(photos, folder, processes=1))[-1]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(dataset: Dataset, output: Path) -> set[tuple[str, bytes]]:
    """Returns labels and bytes as a job receives them."""
    run = opened(replace(job_over(output, output), dataset=dataset))
    fetcher = Fetcher(run.shards, Storage(), max_bytes=1 << 20)
    tables = [run.shards.load(shard) for shard in range(run.shards.num_shards)]
    found = [
        (label, bytes(image))
        for table in tables
        for rows, images in fetcher.batches(table, 8)
        for label, image in zip(rows[TARGET].to_pylist(), images, strict=True)
    ]
    assert len(found) == SMALL.images
    return set(found)


@pytest.mark.parametrize("form", Form)
def test_a_job_reads_every_form(form: Form, tmp_path: Path) -> None:
    num_images, num_bytes = made(replace(SMALL, form=form), tmp_path / "in")
    assert num_images == 25
    written = {name: len(data) for name, data in contents(tmp_path / "in").items() if name != "photos.json"}
    assert num_bytes == sum(written.values())
    assert len(written) == (25 if form is Form.folder else 3)
    expected = {(f"class{number % NUM_CLASSES}", jpeg(number, width=24, height=18)) for number in range(25)}
    assert read(DATASETS[form](str(tmp_path / "in")), tmp_path / "out") == expected


def test_rows_stand_in_groups_that_a_worker_can_hold(tmp_path: Path) -> None:
    made(replace(SMALL, form=Form.parquet, images=150, per_file=140), tmp_path)
    footers = [pq.read_metadata(path) for path in sorted(tmp_path.glob("*.parquet"))]
    groups = [[footer.row_group(group).num_rows for group in range(footer.num_row_groups)] for footer in footers]
    assert groups == [[128, 12], [10]]


@pytest.mark.parametrize("form", Form)
def test_what_is_there_is_left_and_what_is_missing_comes_back(form: Form, tmp_path: Path) -> None:
    photos = replace(SMALL, form=form)
    made(photos, tmp_path)
    whole = contents(tmp_path)
    names = sorted(name for name in whole if name != "photos.json")
    (tmp_path / names[0]).write_bytes(b"left as it is")
    (tmp_path / names[1]).rename(tmp_path / f"{names[1]}.unfinished")
    made(photos, tmp_path)
    assert contents(tmp_path) == {**whole, names[0]: b"left as it is"}


@pytest.mark.slow
def test_a_command_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    photos = PhotoFiles(images=80, form=Form.parquet, per_file=10, width=200, height=150)
    command = [
        *(sys.executable, "-m", "actors.sample.photos", tmp_path / "killed", "--images", "80", "--as", "parquet"),
        *("--per-file", "10", "--width", "200", "--height", "150", "--processes", "1"),
    ]
    process = subprocess.Popen(command)
    while not list((tmp_path / "killed").glob("*.parquet")):
        assert process.poll() is None
        time.sleep(0.001)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    psutil.wait_procs(children, timeout=30)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert len(list((tmp_path / "killed").glob("*.parquet"))) < 8
    made(photos, tmp_path / "killed")
    made(photos, tmp_path / "whole")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"images": 0}, "--images 0: not from 1 to"),
        ({"per_file": 0}, "--per-file 0"),
        ({"seed": -1}, "--seed -1"),
        ({"width": 7}, "--width 7: not from 8 to 16,384"),
        ({"quality": 101}, "--quality 101"),
        ({"contrast": float("nan")}, "--contrast nan"),
        ({"width": 10_000, "height": 3_000}, "--width 10000 --height 3000: more than 25,000,000 pixels"),
    ],
)
def test_a_number_that_cannot_be_is_refused(changes: dict[str, float], problem: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=problem):
        made(replace(SMALL, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(JobError, match="mine: is not empty"):
        made(SMALL, tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"letter.txt": b"dear"}
    (tmp_path / "other").mkdir()
    made(replace(SMALL, images=2), tmp_path / "other")
    with pytest.raises(JobError, match=r"holds other photographs, see .*other/photos.json"):
        made(replace(SMALL, images=2, seed=1), tmp_path / "other")


def test_a_folder_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError, match="file: cannot be written: File exists"):
        made(SMALL, tmp_path / "file")
    (tmp_path / "in").mkdir()
    made(replace(SMALL, images=2), tmp_path / "in")
    (tmp_path / "in" / "class1" / "000001.jpg").unlink()
    (tmp_path / "in" / "class1").rmdir()
    (tmp_path / "in" / "class1").write_text("")
    with pytest.raises(JobError, match="the same command resumes"):
        made(replace(SMALL, images=2), tmp_path / "in")
