from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import jobs.runs.image_keys
from actors.columns import URI, VERSION
from actors.errors import JobError
from jobs.runs.image_keys import ImageIds, ImageKeys

Image = tuple[str, str | None]


def batch_of(images: list[Image]) -> pa.RecordBatch:
    uris, versions = ([image[side] for image in images] for side in (0, 1))
    return pa.RecordBatch.from_arrays([pa.array(uris, pa.string()), pa.array(versions, pa.string())], [URI, VERSION])


def many(start: int, stop: int) -> pa.RecordBatch:
    uris = pa.array(np.arange(start, stop)).cast(pa.string())
    return pa.RecordBatch.from_arrays([uris, pa.nulls(len(uris), pa.string())], [URI, VERSION])


def new_of(keys: ImageKeys, listed: list[pa.RecordBatch], done: list[pa.RecordBatch]) -> list[int]:
    keys.add("done", done)
    keys.add("listed", listed)
    return [int(number) for numbers in keys.new_numbers() for number in numbers]


@pytest.mark.parametrize(("ids", "num_repeated"), [(["a", "b", ""], 0), (["a", "b", "a"], 1), ([None, None], 1)])
def test_a_few_ids_need_no_database_unless_one_is_repeated(
    ids: list[str | None], num_repeated: int, tmp_path: Path
) -> None:
    with ImageIds(str(tmp_path), 64 << 20) as kept:
        kept.add(pa.chunked_array([ids], pa.string()))
        assert kept.repeated(3)[0] == num_repeated
        assert (tmp_path / "keys.duckdb").exists() == bool(num_repeated)


def test_a_version_belongs_to_its_image(tmp_path: Path) -> None:
    done: list[Image] = [("a", "b=c"), ("a=b", None), ("1:a", "x"), ("n", None), ("e", "")]
    new: list[Image] = [("a=b", "c"), ("a", "b"), ("a", "1:x"), ("n", ""), ("e", None), ("n", "null"), ("é", "")]
    with ImageKeys(str(tmp_path), 1 << 30) as keys:
        assert new_of(keys, [batch_of(new), batch_of(done), batch_of(new[:1])], [batch_of(done)]) == [*range(7), 12]


@pytest.mark.parametrize("num_new", [0, 1, 300_000])
def test_new_numbers_ascend(num_new: int, tmp_path: Path) -> None:
    listed = many(1_000_000, 1_000_000 + num_new)
    with ImageKeys(str(tmp_path), 1 << 30) as keys:
        assert new_of(keys, [many(5, 9), listed, many(0, 5)], [many(0, 9)]) == list(range(4, 4 + num_new))


def test_doubles_count_once_among_what_is_done_and_stay_in_what_is_listed(tmp_path: Path) -> None:
    with ImageKeys(str(tmp_path), 1 << 30) as keys:
        assert new_of(keys, [many(0, 4), many(2, 6)], [many(0, 2), many(0, 3)]) == [3, 5, 6, 7]


def test_little_memory_goes_to_disk_and_is_right(tmp_path: Path) -> None:
    ended = threading.Event()
    spilled: set[str] = set()

    def watch() -> None:
        while not ended.wait(0.005):
            spilled.update(path.name for path in tmp_path.glob("keys.duckdb.tmp/*"))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with ImageKeys(str(tmp_path), 32 << 20) as keys:
            done = [many(start, start + 50_000) for start in range(0, 1_000_000, 50_000)]
            assert new_of(keys, [many(10_000, 1_010_000)], done) == list(range(990_000, 1_000_000))
    finally:
        ended.set()
        watching.join()
    assert spilled


def test_no_more_than_a_chunk_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.runs.image_keys, "CHUNK_ROWS", 50_000)
    held_bytes = []

    def watched() -> Iterator[pa.RecordBatch]:
        for start in range(0, 400_000, 10_000):
            yield many(start, start + 10_000)
            held_bytes.append(pa.total_allocated_bytes() - before)

    before = pa.total_allocated_bytes()
    with ImageKeys(str(tmp_path), 1 << 30) as keys:
        keys.add("done", watched())
        keys.add("listed", watched())
    assert max(held_bytes) < 3 * many(0, 50_000).nbytes  # 8 chunks, twice


class StopError(BaseException):
    pass


def test_a_signal_inside_of_duckdb_ends_it_as_itself(tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise StopError

    def strike() -> None:
        while not ended.wait(0.001):
            if any(path.stat().st_size > 1 << 20 for path in tmp_path.glob("keys.duckdb")):
                os.kill(os.getpid(), signal.SIGUSR1)
                return

    ended = threading.Event()
    before = signal.signal(signal.SIGUSR1, stop)
    striking = threading.Thread(target=strike)
    striking.start()
    try:
        with ImageKeys(str(tmp_path), 1 << 30) as keys, pytest.raises(StopError) as caught:
            keys.add("done", [many(0, 3_000_000)])  # one chunk, with 48 MB of keys
    finally:
        ended.set()
        striking.join()
        signal.signal(signal.SIGUSR1, before)
    assert "_run" in {entry.name for entry in caught.traceback}


@pytest.mark.parametrize("room_bytes", [1_000, 100_000, 7_900_000, 12_000_000])
def test_a_full_disk_is_said_with_its_fix(room_bytes: int, tmp_path: Path) -> None:
    def use() -> None:
        with ImageKeys(str(tmp_path), 24 << 20) as keys:
            new_of(keys, [many(0, 500_000)], [many(0, 500_000)])

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, limits[1]))
    try:
        with pytest.raises(JobError, match=r"cannot hold the comparison with earlier runs: .*\n.*TMPDIR"):
            use()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_it_touches_nothing_but_its_folder(tmp_path: Path) -> None:
    with ImageKeys(str(tmp_path), 1 << 30) as keys:
        for query in ("INSTALL httpfs", f"COPY done TO '{tmp_path}/done.csv'", "SET enable_external_access = true"):
            with pytest.raises(duckdb.Error):
                keys._run(keys._database.execute, query)
