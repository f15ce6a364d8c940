from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from photos import write_photos
from s3 import S3

from actors.engines.base import TorchEngineConfig
from actors.errors import JobError
from actors.models import Model
from actors.storage import Storage
from actors.tasks.classify import Classify
from jobs.config import Job, Output, Run
from jobs.datasets.images import ImagesDataset
from jobs.runs import open_run, run_paths

STORAGE = Storage()
SAME = {"fingerprint": "mabc", "dataset_digest": "d"}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_photos(tmp_path / "images", 5, width=20, height=20)
    return Job(
        dataset=ImagesDataset(path=str(tmp_path / "images"), storage_options={"secret_access_key": "hush"}),
        model=Model(checkpoint="x.pt"),
        engine=TorchEngineConfig(),
        task=Classify(),
        output=Output(path=str(tmp_path / "out")),
        run=Run(id="r1", shard_size=2),
    )


def test_the_inventory_is_fixed_when_the_run_opens(job: Job) -> None:
    paths = run_paths(job, "mabc")
    shards = open_run(job, paths, STORAGE, SAME)
    assert shards is not None
    assert list(shards.sizes) == [2, 2, 1]
    listed = pq.read_table(paths.inventory)
    assert len(listed) == 5


def test_the_config_is_kept_without_secrets(job: Job) -> None:
    paths = run_paths(job, "mabc")
    open_run(job, paths, STORAGE, SAME)
    text = Path(paths.config).read_text()
    assert "shard_size: 2" in text
    assert "hush" not in text


def test_a_name_is_made_when_none_is_given(job: Job) -> None:
    first, second = (run_paths(replace(job, run=Run()), "mabc").run_id for _ in range(2))
    assert first != second
    assert first[:2] == "20"


@pytest.mark.parametrize("run_id", ["a/b", "..", "", "-x", "a" * 101, "a b", "é"])
def test_names_that_are_no_folder(job: Job, run_id: str) -> None:
    with pytest.raises(JobError, match=r"run.id="):
        run_paths(replace(job, run=Run(id=run_id)), "mabc")


def test_a_run_that_ended_is_not_opened_again(job: Job) -> None:
    paths = run_paths(job, "mabc")
    open_run(job, paths, STORAGE, SAME)
    STORAGE.write(paths.manifest, json.dumps(SAME).encode())
    STORAGE.write(paths.success, b"")
    assert open_run(job, paths, STORAGE, SAME) is None


@pytest.mark.parametrize(("key", "what"), [("fingerprint", "another model"), ("dataset_digest", "another dataset")])
def test_another_job_under_the_same_name_is_told_so(job: Job, key: str, what: str) -> None:
    paths = run_paths(job, "mabc")
    STORAGE.write(paths.manifest, json.dumps({**SAME, key: "other"}).encode())
    STORAGE.write(paths.success, b"")
    with pytest.raises(JobError, match=f"run.id=r1: a job with {what}"):
        open_run(job, paths, STORAGE, SAME)


def test_a_run_that_did_not_end_is_not_mixed_with_another(job: Job) -> None:
    paths = run_paths(job, "mabc")
    open_run(job, paths, STORAGE, SAME)
    with pytest.raises(JobError, match=r"run.id=r1"):
        open_run(job, paths, STORAGE, SAME)


@pytest.mark.parametrize("path", ["{tmp}/file/out", "s3://no-such-bucket/out"])
def test_an_output_that_cannot_be_written(job: Job, path: str, tmp_path: Path, s3: S3) -> None:
    (tmp_path / "file").write_text("in the way")
    place = path.format(tmp=tmp_path)
    bad = replace(job, output=Output(path=place))
    with pytest.raises(JobError, match=f"output.path={place}: cannot be written"):
        open_run(bad, run_paths(bad, "mabc"), Storage(s3.options), SAME)
