from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from places import Place

from actors.errors import JobError
from actors.storage.store import Storage
from jobs.leases.lease_files import Holder, LeaseFiles, this_process

ME = this_process("r1", 1, 30.0)


def files_of(place: Place) -> LeaseFiles:
    return LeaseFiles(place.root, Storage(place.options))


def test_a_holder_is_written_as_json_and_read_back() -> None:
    assert Holder.from_bytes(ME.to_bytes()) == ME
    assert json.loads(ME.to_bytes())["pid"] == os.getpid()
    assert str(ME) == f"run r1, process {os.getpid()} on host {ME.host}, since {ME.since}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b"{}",
        ME.to_bytes()[:-9],
        ME.to_bytes().replace(b"30.0", b'"30"'),
        replace(ME, ttl_s=float("nan")).to_bytes(),
        replace(ME, ttl_s=-1.0).to_bytes(),
        replace(ME, ttl_s=1e300).to_bytes(),
        replace(ME, pid=1 << 40).to_bytes(),
        replace(ME, pid=-1).to_bytes(),
    ],
)
def test_what_is_no_whole_lease_file(data: bytes) -> None:
    assert Holder.from_bytes(data) is None


def test_each_hold_is_another() -> None:
    assert this_process("r1", 1, 30.0).holder != ME.holder


def test_a_process_is_dead_only_where_that_is_sure() -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        other = replace(ME, pid=process.pid, started="1")
        assert not ME.is_dead()
        assert other.is_dead(), "the pid is a later process's"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert replace(ME, pid=process.pid).is_dead(), "it has ended, and its parent has not looked"
    gone = replace(ME, pid=process.pid)
    assert gone.is_dead()
    for elsewhere in (replace(gone, host="elsewhere"), replace(gone, boot="another"), replace(gone, boot="")):
        assert not elsewhere.is_dead()


def test_numbers_rise_and_other_files_do_not_count(place: Place) -> None:
    files = files_of(place)
    assert files.highest() == 0
    for name in ("_lease/.00000009.json.ab.tmp", "_lease/notes.json", "_lease/7.json", "runs/_lease2/00000008.json"):
        place.put(name, b"x")
    assert files.highest() == 0
    for number in (1, 2, 10, 123_456_789):
        assert files.create(number, ME)
    assert files.highest() == 123_456_789
    files.delete_below(10)
    assert [files.read(number) is None for number in (1, 2, 10)] == [True, True, False]


def test_only_one_creates_a_number(place: Place) -> None:
    files = files_of(place)
    assert files.create(1, ME)
    assert not files.create(1, this_process("r2", 1, 30.0))
    assert Holder.from_bytes(files.read(1) or b"") == ME


def test_a_create_whose_answer_was_lost_is_known_as_ones_own(place: Place) -> None:
    files = files_of(place)
    assert files.create(1, ME)
    assert files.create(1, ME)


def test_an_output_that_cannot_be_written_is_told_as_such(place: Place) -> None:
    place.put("file", b"in the way")
    nowhere = f"{place.root}/file/out" if place.server is None else "s3://no-such-bucket/out"
    files = LeaseFiles(nowhere, Storage(place.options))
    with pytest.raises(OSError, match=r"Not a directory|NoSuchBucket"):
        files.create(1, ME)


class Careless(Storage):
    """A store without conditional writes, like some S3-compatible ones."""

    def write(self, uri: str, data: bytes | memoryview, *, create: bool = False) -> None:  # noqa: ARG002
        super().write(uri, data)


def test_a_store_without_conditional_writes_is_refused(place: Place) -> None:
    files = files_of(place)
    files.create(1, ME)
    files.check_store(1, ME)
    with pytest.raises(JobError, match="ignores conditional writes"):
        LeaseFiles(place.root, Careless(place.options)).check_store(1, ME)


def test_what_is_far_too_long_or_no_file_is_not_read(tmp_path: Path) -> None:
    files = LeaseFiles(str(tmp_path), Storage())
    files.write(1, ME)
    with (tmp_path / "_lease" / "00000001.json").open("ab") as file:
        file.truncate(1 << 40)
    os.mkfifo(tmp_path / "_lease" / "00000002.json")
    (tmp_path / "_lease" / "00000003.json").mkdir()
    assert [files.read(number) for number in range(1, 5)] == [b"", b"", b"", None]
    assert not files.is_of(1, ME)


def test_a_file_that_another_holder_deleted_does_not_speak_against_the_store(place: Place) -> None:
    files = files_of(place)
    files.check_store(3, ME)
    files.check_store(3, ME)
    assert files.is_of(3, ME)
