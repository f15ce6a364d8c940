from __future__ import annotations

from pathlib import Path

import pytest
from places import Place
from s3 import S3

from actors.errors import JobError
from actors.storage.store import Storage
from jobs.benchmarking.scratch_folder import scratch
from jobs.cli.shutdown import StoppedError


def names(place: Place) -> list[str]:
    return [uri for batch in Storage(place.options).list(place.root) for uri in batch["uri"].to_pylist()]


@pytest.mark.parametrize("end", [None, KeyboardInterrupt, StoppedError, ValueError])
def test_all_output_is_removed_however_the_block_ends(end: type[BaseException] | None, place: Place) -> None:
    storage = Storage(place.options)
    place.put("mine.txt", b"x")

    def work() -> None:
        with scratch(place.root, storage) as root:
            storage.write(f"{root}/rows/a/part.parquet", b"y")
            assert len(names(place)) > 1
            if end is not None:
                raise end

    if end is None:
        work()
    else:
        with pytest.raises(end):
            work()
    assert [name.rpartition("/")[2] for name in names(place)] == ["mine.txt"]


def test_each_folder_is_temporary_and_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch(None, Storage()) as one, scratch(None, Storage()) as other:
        assert one != other
        assert sorted(str(path) for path in tmp_path.iterdir()) == sorted([one, other])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path, s3: S3) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JobError, match=r"benchmark\.scratch=.*/file: cannot be written") as caught:
        scratch(str(tmp_path / "file"), Storage()).__enter__()
    assert "output.storage_options" in caught.value.fix
    with pytest.raises(JobError, match=r"benchmark\.scratch=s3://nowhere: cannot be written"):
        scratch("s3://nowhere", Storage(s3.options)).__enter__()
