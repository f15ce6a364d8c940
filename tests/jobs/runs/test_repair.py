from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from finished import CHECKED, add_photos, another, finish, job_over, listed, opened
from s3 import S3

from actors.storage.store import Storage
from jobs.job import Job, Output, Resume
from jobs.runs.commit import collect, publish
from jobs.runs.opening import Run, open_run


def first_part(run: Run) -> Path:
    return min(Path(run.paths.rows).glob("part-*"))


def names_a_staged_file(run: Run) -> None:
    """Creates the file that earlier versions left behind when a writer died between fsync and rename."""
    part, manifest = first_part(run), Path(run.paths.manifest)
    staged = part.rename(part.with_name(f".{part.name}.{'0' * 32}.tmp"))
    manifest.write_text(manifest.read_text().replace(part.name, staged.name))


DAMAGES = {
    "gone": lambda run: first_part(run).unlink(),
    "cut off": lambda run: first_part(run).write_bytes(first_part(run).read_bytes()[:-9]),
    "named by its staged name": names_a_staged_file,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_that_lacks_a_part_is_gone_on_with(damage: str, job: Job, caplog: pytest.LogCaptureFixture) -> None:
    run = opened(job)
    finish(run, bad=["1.jpg"])
    finish(opened(job))  # an empty run, which hides nothing
    DAMAGES[damage](run)
    again = opened(job)
    assert again.paths == run.paths
    assert "redoing the missing rows" in caplog.text
    assert 0 < again.collect().coverage.num_missing < 5
    finish(again, bad=["1.jpg"])
    uris = ds.dataset(run.paths.rows).to_table()["uri"].to_pylist()
    assert sorted(Path(uri).name for uri in uris) == ["0.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert all(path.name.startswith("part-") for path in Path(run.paths.rows).iterdir())
    assert listed(opened(job)) == []


@pytest.mark.parametrize("data", [None, b"", b"[" * 200_000, b'{"rows": 7}'])
def test_without_a_sound_manifest_the_run_is_published_anew(data: bytes | None, job: Job) -> None:
    run = opened(job)
    finish(run)
    manifest = Path(run.paths.manifest)
    whole = json.loads(manifest.read_text())
    manifest.unlink() if data is None else manifest.write_bytes(data)
    again = opened(job)
    assert (again.paths, again.collect().coverage.num_missing) == (run.paths, 0)
    publish(again.collect(), again.paths, again.storage, {"run_id": run.record.run_id})
    found = json.loads(manifest.read_text())
    assert found.pop("committed_at") > whole.pop("committed_at")
    assert found == whole


def test_who_would_not_go_on_with_it_is_told_alone(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    run = opened(job)
    finish(run)
    first_part(run).unlink()
    for changes, checked in (({}, another(fingerprint="mother")), ({"resume": Resume.never}, CHECKED)):
        caplog.clear()
        assert opened(job, checked, **changes).paths != run.paths
        assert "run the command of that run again" in caplog.text
        assert Path(run.paths.success).exists()


def test_the_run_that_is_named_is_looked_at_though_it_is_an_older_one(job: Job, images: Path) -> None:
    first = opened(job, id="r1")
    finish(first)
    add_photos(images, [7])
    finish(opened(job, id="r2"))
    first_part(first).unlink()
    assert listed(opened(job)) == []
    assert not opened(job, id="r1").record.is_published


def test_a_foreign_file_is_told_and_left(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    run = opened(job)
    finish(run)
    foreign = Path(run.paths.rows, "mine.parquet")
    foreign.write_bytes(first_part(run).read_bytes())
    assert listed(opened(job)) == []
    assert "mine.parquet is not a part of run" in caplog.text
    assert foreign.exists()


def test_a_part_that_was_put_after_the_publication_is_removed(s3: S3, tmp_path: Path) -> None:
    add_photos(tmp_path / "images", range(3))
    job = job_over(tmp_path / "images", tmp_path)
    job = replace(job, output=Output(path=f"s3://{s3.bucket}/late", storage_options=s3.options))
    storage = Storage(s3.options)
    run = open_run(job, CHECKED, storage)
    finish(run)
    late = f"{run.paths.rows}/part-000007-{'0' * 32}.parquet"
    part = collect(run.paths, storage, run.shards.sizes).rows[0]
    storage.write(late, storage.read(part.uri))
    assert storage.kind(late) == "file"
    again = open_run(job, CHECKED, storage)
    assert again.record.num_listed == 0
    assert storage.kind(late) is None
    assert storage.kind(part.uri) == "file"
