from __future__ import annotations

import errno
import json
import logging
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue

import flaky
import pytest
import s3 as s3_server
from disks import fill, make_read_only, make_room, small_disk
from entering import enter_together
from obstore.exceptions import GenericError
from places import Place, local_place

from actors.errors import CredentialsError, JobError, OutputError
from actors.storage.retries import Retry
from actors.storage.store import Storage
from jobs.cli.entry import StoppedError
from jobs.leases.lease import HeldError, Lease, LostLeaseError, _acquire, cannot_be_written, hold
from jobs.leases.lease_files import Holder, LeaseFiles, this_process

pytestmark = pytest.mark.slow

PATIENT_S = 6.0  # TTL of holders that must not be late on a busy machine; their heartbeat is one second
SHORT_S = 0.6  # TTL of holders that are dead or suspended

HOLD = """
import json, sys
from actors.storage.store import Storage
from jobs.leases.lease import HeldError, hold

root, options, ttl_s = json.loads(sys.argv[1])
try:
    with hold(root, Storage(options), run_id="r1", ttl_s=ttl_s, on_lost=lambda _: print("lost", flush=True)) as lease:
        print("holds", flush=True)
        for _ in sys.stdin:
            print(lease.token.is_held(), flush=True)
except HeldError as error:
    print(error, flush=True)
"""


@dataclass(frozen=True)
class Driver:
    """A separate process that holds the lease until its input ends, or says why it cannot."""

    process: subprocess.Popen[str]

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self) -> str:
        """Returns ``"True"`` while the process may write."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.says()


@contextmanager
def drive(place: Place, ttl_s: float = PATIENT_S, *, before: str = "") -> Iterator[Driver]:
    command = [sys.executable, "-c", before + HOLD, json.dumps([place.root, place.options, ttl_s])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Driver(process)
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def files_of(place: Place) -> LeaseFiles:
    return LeaseFiles(place.root, Storage(place.options))


def listed(place: Place) -> list[str]:
    batches = Storage(place.options).list(place.root)
    return [row["uri"].rpartition("/")[2] for batch in batches for row in batch.to_pylist()]


def take(place: Place, *, ttl_s: float = PATIENT_S, on_lost: Callable[[Exception], None] = lambda _: None):  # noqa: ANN201
    return hold(place.root, Storage(place.options), run_id="r2", ttl_s=ttl_s, on_lost=on_lost)


def leave_dead(place: Place, data: bytes | None = None) -> None:
    """Leaves the lease of a driver that died on another machine, or ``data`` in its place."""
    dead = replace(this_process("r0", 1, SHORT_S), host="elsewhere", boot="another")
    place.put("_lease/00000004.json", dead.to_bytes() if data is None else data)


def test_of_two_drivers_at_once_one_holds_and_the_other_is_told_who(place: Place) -> None:
    with drive(place) as one, drive(place) as other:
        said = {driver.says(): driver for driver in (one, other)}
        holder = said.pop("holds")
        (refusal,) = said
        assert refusal.startswith(f"output.path={place.root}: another run holds this output: run r1, process ")
        assert f"process {holder.process.pid} on host " in refusal
        assert holder.ask() == "True"


def test_of_each_pair_that_comes_in_one_instant_one_holds_and_the_other_is_told(tmp_path: Path) -> None:
    roots = [str(tmp_path / str(number)) for number in range(10)]
    assert enter_together(roots, num_rounds=3, ttl_s=PATIENT_S) == [{"holds", "held"}] * 30


LATE = """
import sys
from jobs.leases.lease_files import LeaseFiles

check = LeaseFiles.check_store

def check_late(files, number, holder):
    if number == 1:
        print("created", flush=True)
        sys.stdin.readline()
    check(files, number, holder)

LeaseFiles.check_store = check_late
"""


def test_one_whose_file_was_taken_over_and_deleted_before_it_could_look_blames_no_store(tmp_path: Path) -> None:
    """It is given up as dead between its first create and its second one, which then succeeds."""
    place = local_place(tmp_path / "place")
    with drive(place, ttl_s=SHORT_S, before=LATE) as late:
        assert late.says() == "created"
        with take(place) as lease:
            assert lease.token.number == 2
            files_of(place).delete_below(2)
            assert late.ask().startswith(f"output.path={place.root}: another run holds this output")
            lease.check()


def test_a_driver_that_was_killed_here_is_replaced_at_once(place: Place) -> None:
    with drive(place, ttl_s=3600) as killed:
        assert killed.says() == "holds"
        killed.process.kill()
        killed.process.wait()
        with take(place) as lease:
            assert lease.token.number == 2
            lease.check()


def test_a_driver_that_died_elsewhere_is_replaced_after_its_time(place: Place) -> None:
    leave_dead(place)
    with take(place) as lease:
        assert lease.token.number == 5
    assert listed(place) == ["00000005.json"]


@pytest.mark.parametrize("data", [b"", b'{"holder": "a'])
def test_a_lease_that_cannot_be_read_counts_as_one_without_life(data: bytes, place: Place) -> None:
    leave_dead(place, data)
    with take(place, ttl_s=SHORT_S) as lease:
        assert lease.token.number == 5


def test_of_eight_that_would_replace_a_dead_one_one_does(place: Place) -> None:
    leave_dead(place)
    all_said = threading.Barrier(8)

    def compete(_: int) -> str:
        try:
            with take(place) as lease:
                all_said.wait(60)
                lease.check()
                return "holds"
        except HeldError:
            all_said.wait(60)
            return "held"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(compete, range(8))) == ["held"] * 7 + ["holds"]


def test_a_suspended_driver_finds_itself_replaced(place: Place) -> None:
    with drive(place, ttl_s=SHORT_S) as suspended:
        assert suspended.says() == "holds"
        assert suspended.ask() == "True"
        suspended.process.send_signal(signal.SIGSTOP)
        with take(place) as lease:
            suspended.process.send_signal(signal.SIGCONT)
            assert suspended.says() == "lost"
            assert suspended.ask() == "False"
            lease.check()


def test_a_suspended_driver_whom_nobody_replaced_goes_on(place: Place) -> None:
    with drive(place, ttl_s=SHORT_S) as suspended:
        assert suspended.says() == "holds"
        suspended.process.send_signal(signal.SIGSTOP)
        time.sleep(2 * SHORT_S)
        before = files_of(place).read(1)
        suspended.process.send_signal(signal.SIGCONT)
        while files_of(place).read(1) == before:
            time.sleep(0.02)
        assert suspended.ask() == "True"


def test_a_replaced_driver_learns_it_when_it_asks(place: Place) -> None:
    with take(place) as lease, take_over(place, lease):
        assert not pickle.loads(pickle.dumps(lease.token)).is_held()  # noqa: S301
        with pytest.raises(LostLeaseError, match="another run took over"):
            lease.check()


@contextmanager
def take_over(place: Place, lease: Lease) -> Iterator[None]:
    """Lets another driver hold the lease, as if ``lease`` had been silent."""
    files_of(place).create(lease.token.number + 1, this_process("r3", 1, PATIENT_S))
    yield


def test_a_replaced_driver_is_told_once_and_touches_nothing_any_more(place: Place) -> None:
    lost: list[Exception] = []
    told = threading.Event()

    def on_lost(error: Exception) -> None:
        lost.append(error)
        told.set()

    with take(place, ttl_s=SHORT_S, on_lost=on_lost) as lease, take_over(place, lease):
        assert told.wait(60)
        left = files_of(place).read(1)
    assert [type(error) for error in lost] == [LostLeaseError]
    assert files_of(place).read(1) == left
    assert sorted(listed(place)) == ["00000001.json", "00000002.json"]


def test_of_two_whom_a_careless_store_gave_one_number_the_last_one_stands(place: Place) -> None:
    lost = threading.Event()
    with take(place, ttl_s=SHORT_S, on_lost=lambda _: lost.set()):
        files_of(place).write(1, this_process("r3", 1, PATIENT_S))
        assert lost.wait(60)
    assert b'"run_id": "r3"' in (files_of(place).read(1) or b"")


def test_a_lease_that_somebody_removed_is_lost(place: Place) -> None:
    with take(place) as lease:
        files = files_of(place)
        files.delete_below(2)
        assert not lease.token.is_held()
        assert files.create(1, this_process("r3", 1, PATIENT_S))


@pytest.mark.parametrize("error", [StoppedError, ValueError])
def test_it_is_released_however_the_block_ends(error: type[BaseException], place: Place) -> None:
    with pytest.raises(error), take(place, ttl_s=3600):
        raise error
    holder = Holder.from_bytes(files_of(place).read(1) or b"")
    assert holder is not None
    assert holder.released
    with take(place) as lease:
        assert lease.token.number == 2


def test_many_holds_after_one_another_leave_one_file(place: Place) -> None:
    for number in range(1, 51):
        with take(place) as lease:
            assert lease.token.number == number
    assert listed(place) == ["00000050.json"]


def test_the_run_may_be_named_later(place: Place) -> None:
    with take(place, ttl_s=SHORT_S) as lease:
        assert b'"run_id": "r2"' in (files_of(place).read(1) or b"")
        lease.run_id = "named"
        while b'"run_id": "named"' not in (files_of(place).read(1) or b""):
            time.sleep(0.02)


def test_one_who_looked_long_ago_does_not_hold_beside_the_present_one(place: Place) -> None:
    present: list[Lease] = []

    class Slow(Storage):
        """Lets in two others between its look and its create; the first has left again, and so has its file."""

        def write(self, uri: str, data: bytes | memoryview, *, create: bool = False) -> None:
            if not present:
                with take(place):
                    pass
                present.append(stack.enter_context(take(place)))
                files_of(place).delete_below(present[0].token.number)
            super().write(uri, data, create=create)

    with ExitStack() as stack:
        with pytest.raises(HeldError):
            _acquire(LeaseFiles(place.root, Slow(place.options)), this_process("slow", 1, PATIENT_S))
        present[0].check()


@pytest.mark.parametrize("root", ["{}/file/out", "s3://no-such-bucket/out"])
def test_an_output_that_cannot_be_written_is_the_jobs_fault(root: str, s3: s3_server.S3, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = Place(root.format(tmp_path), s3.options)
    with pytest.raises(JobError, match=f"output.path={place.root}: cannot be written: "), take(place):
        pass


def test_a_full_disk_is_told_as_it_is_later() -> None:
    said = cannot_be_written("/out", OSError(errno.ENOSPC, "No space left on device"))
    assert isinstance(said, OutputError)
    problem = "/out: cannot be written: the disk is full (No space left on device); free some space, "
    assert str(said).startswith(problem)


def test_an_output_on_a_full_or_a_read_only_disk_can_be_held_once_that_is_mended(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        place = local_place(disk / "out")
        with take(place):
            pass
        fill(disk)
        with pytest.raises(OutputError, match="cannot be written: the disk is full"), take(place):
            pass
        make_room(disk)
        with take(place):
            pass
        make_read_only(disk)
        with pytest.raises(OutputError, match="cannot be written: the file system is read-only"), take(place):
            pass


def test_a_store_that_is_away_is_not(tmp_path: Path) -> None:
    with s3_server.serve(tmp_path) as server:
        storage = Storage(server.options, Retry(attempts=1))
    with pytest.raises(GenericError), hold(f"s3://{server.bucket}/out", storage, ttl_s=PATIENT_S, on_lost=pytest.fail):
        pass


def test_a_store_that_comes_back_in_time_costs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "_lease"
    caplog.set_level(logging.WARNING, "shardlens")
    with hold(str(tmp_path), Storage(), ttl_s=PATIENT_S, on_lost=pytest.fail) as lease:
        folder.rename(tmp_path / "away")
        folder.touch()
        while "was not renewed" not in caplog.text:
            time.sleep(0.02)
        folder.unlink()
        (tmp_path / "away").rename(folder)
        before = (folder / "00000001.json").read_bytes()
        while (folder / "00000001.json").read_bytes() == before:
            time.sleep(0.02)
        lease.check()


def test_a_store_that_stays_away_costs_the_lease(tmp_path: Path) -> None:
    lost = threading.Event()
    with ExitStack() as running:
        server = running.enter_context(s3_server.serve(tmp_path))
        place = Place(f"s3://{server.bucket}/out", server.options)
        with take(place, ttl_s=SHORT_S, on_lost=lambda _: lost.set()) as lease:
            running.close()
            assert lost.wait(60)
            with pytest.raises(LostLeaseError, match=r"could not be renewed for 0.6 s"):
                lease.check()


def test_credentials_that_expire_are_told_as_such_and_blame_no_other_run(s3: s3_server.S3) -> None:
    told: Queue[Exception] = Queue()
    with flaky.serve(s3.url) as proxy:
        place = Place(f"s3://{s3.bucket}/lease-expired", proxy.options(s3))
        with take(place, ttl_s=SHORT_S, on_lost=told.put) as lease:
            proxy.damage("", *[flaky.EXPIRED] * 1000)
            error = told.get(timeout=60)
            assert isinstance(error, CredentialsError)
            assert str(error).startswith(
                f"output.path={place.root}: s3://{s3.bucket}: the credentials are refused: Exp"
            )
            assert "renew them" in str(error)
            with pytest.raises(CredentialsError):
                lease.check()


def test_a_lease_that_a_full_disk_keeps_from_being_renewed_says_so(tmp_path: Path) -> None:
    told: Queue[Exception] = Queue()
    with small_disk(tmp_path / "disk") as disk:
        place = local_place(disk / "out")
        with take(place, ttl_s=SHORT_S, on_lost=told.put) as lease:
            fill(disk)
            assert str(told.get(timeout=60)).startswith(f"{place.root}: cannot be written: the disk is full (No space")
            with pytest.raises(OutputError, match="free some space, and run the same command again"):
                lease.check()


def test_a_release_that_fails_is_told_and_hides_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "shardlens")

    def end_badly() -> None:
        with hold(str(tmp_path), Storage(), ttl_s=PATIENT_S, on_lost=pytest.fail):
            (tmp_path / "_lease").rename(tmp_path / "away")
            (tmp_path / "_lease").touch()
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        end_badly()
    assert "was not released" in caplog.text
