from __future__ import annotations

import threading
from pathlib import Path

import pytest

from actors.storage.local_files import StagingEndedError
from actors.storage.store import Storage
from actors.writing.staging import Staging, end_attempts

STORAGE = Storage()


def write(staging: Staging, name: str = "x") -> None:
    STORAGE.write_part(f"{staging.place}/rows/{name}", b"rows", staging.folder)


def test_an_attempt_leaves_nothing_behind_but_its_files(tmp_path: Path) -> None:
    staging = Staging(str(tmp_path), "a")
    staging.open()
    write(staging)
    staging.close()
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
    assert (tmp_path / "rows" / "x").read_bytes() == b"rows"


@pytest.mark.parametrize("end", ["the next attempt", "its own close", "all are ended"])
def test_nothing_is_written_once_the_attempt_has_ended(tmp_path: Path, end: str) -> None:
    first, second = Staging(str(tmp_path), "a"), Staging(str(tmp_path), "b")
    first.open()
    Path(first.folder, "left.parquet").write_bytes(b"of a writer that was killed")
    if end == "the next attempt":
        second.open()
        write(second, "y")
    elif end == "its own close":
        first.close()
    else:
        end_attempts(str(tmp_path))
    with pytest.raises(StagingEndedError, match="x was not written"):
        write(first)
    assert not list(tmp_path.rglob("left*"))
    assert not (tmp_path / "rows" / "x").exists()


def test_an_attempt_ends_under_writers_at_work(tmp_path: Path) -> None:
    staging = Staging(str(tmp_path), "a")
    staging.open()
    ends: list[Exception] = []

    def write_on(number: int) -> None:
        try:
            while True:
                write(staging, f"{number}")
        except StagingEndedError as error:
            ends.append(error)

    writers = [threading.Thread(target=write_on, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    while not (tmp_path / "rows" / "3").exists():
        pass
    staging.close()
    for writer in writers:
        writer.join(30)
    assert len(ends) == 4
    assert {path.read_bytes() for path in (tmp_path / "rows").iterdir()} == {b"rows"}
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_object_stores_need_none() -> None:
    staging = Staging("s3://no-such-bucket/out", "a")
    staging.open()
    staging.close()
    end_attempts(staging.place)
