from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import Place, local_place

from actors.errors import JobError
from actors.storage.store import Storage
from jobs.job import RunConfig
from jobs.leases.lease import HeldError
from jobs.leases.lease_files import this_process
from jobs.leases.slices import OutputLock, Slice

pytestmark = pytest.mark.slow

HOLD = """
import json, sys
from actors.storage.store import Storage
from jobs.leases.slices import Slice, OutputLock

root, options, index, count = json.loads(sys.argv[1])
tenancy = OutputLock(root, Storage(options), Slice(index, count), "night", 30, on_lost=lambda _: None)
with tenancy.hold():
    print("holds", flush=True)
    sys.stdin.read()
"""


def tenancy(place: Place, index: int = 0, count: int = 1, *, run_id: str = "night") -> OutputLock:
    return OutputLock(place.root, Storage(place.options), Slice(index, count), run_id, 30, on_lost=lambda _: None)


@contextmanager
def elsewhere(place: Place, index: int, count: int) -> Iterator[subprocess.Popen[str]]:
    """Starts another process that holds a slice of the same run until its input ends."""
    command = [sys.executable, "-c", HOLD, json.dumps([place.root, place.options, index, count])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("num_shards", [0, 1, 5, 6])
def test_each_shard_is_of_one_slice(num_shards: int) -> None:
    owned = np.array([Slice(index, 3).owns(num_shards) for index in range(3)])
    assert owned.sum(axis=0).tolist() == [1] * num_shards
    assert owned.sum(axis=1).max() - owned.sum(axis=1).min() <= 1
    assert Slice().owns(num_shards).all()


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (RunConfig(id="a", slices=2, slice=2), "run.slice=2, run.slices=2: there is no such slice"),
        (RunConfig(id="a", slices=0), "run.slice=0, run.slices=0"),
        (RunConfig(id="a", slice=-1), "run.slice=-1"),
        (RunConfig(slices=2), "without run.id"),
        (RunConfig(id="a", slices=2, redrive=True), "error rows are tried again by one driver"),
    ],
)
def test_slices_that_cannot_be(run: RunConfig, said: str) -> None:
    with pytest.raises(JobError, match=said):
        Slice.of(run)


def test_what_the_config_says() -> None:
    assert Slice.of(RunConfig()) == Slice(0, 1)
    assert Slice.of(RunConfig(id="a", slices=3, slice=2)) == Slice(2, 3)


def test_slices_of_a_run_work_side_by_side_and_each_has_one_driver(place: Place) -> None:
    with ExitStack() as stack:
        for index in range(2):
            stack.enter_context(tenancy(place, index, 2).hold())
        with pytest.raises(HeldError, match="night/2/1: another run holds"):
            stack.enter_context(tenancy(place, 1, 2).hold())


def test_while_a_slice_works_nobody_else_has_the_output(place: Place) -> None:
    with tenancy(place, 0, 2).hold():
        for stranger in (tenancy(place), tenancy(place, run_id="")):
            with (
                pytest.raises(HeldError, match=f"{place.root}: a slice of another run is using this output"),
                stranger.hold(),
            ):
                pass
        for stranger in (tenancy(place, 0, 3), tenancy(place, 0, 2, run_id="day")):
            with stranger.hold(), pytest.raises(HeldError, match="a slice of another run"), stranger.enter():
                pass
    with tenancy(place).hold():
        pass


def test_who_has_the_whole_output_lets_no_slice_in(place: Place) -> None:
    with ExitStack() as stack:
        stack.enter_context(elsewhere(place, 0, 1))
        stack.enter_context(tenancy(place, 0, 2).hold())
        with pytest.raises(HeldError, match="another run holds this output"):
            stack.enter_context(tenancy(place, 0, 2).enter())


def test_one_slice_at_a_time_is_alone_and_the_others_wait(place: Place) -> None:
    inside: list[int] = []
    most: list[int] = []

    def visit(index: int) -> None:
        with tenancy(place, index, 3).hold(), tenancy(place, index, 3).enter():
            inside.append(index)
            most.append(len(inside))
            threading.Event().wait(0.5)
            inside.remove(index)

    threads = [threading.Thread(target=visit, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert most == [1, 1, 1]


def test_slices_that_were_killed_are_in_nobodys_way(place: Place) -> None:
    with elsewhere(place, 0, 2) as process:
        process.kill()
        process.wait()
    with tenancy(place, 0, 2).hold():
        pass
    with tenancy(place, run_id="day").hold():
        left = [uri for batch in Storage(place.options).list(place.root) for uri in batch["uri"].to_pylist()]
        assert [uri for uri in left if "/_slices/" in uri] == []


@pytest.mark.parametrize("by", ["the slice that publishes", "the next to hold the output"])
def test_the_writers_of_a_slice_that_was_killed_get_nothing_in_any_more(by: str, tmp_path: Path) -> None:
    place = local_place(tmp_path)
    with elsewhere(place, 0, 2) as process:
        (staging,) = Path(place.root).glob("_slices/night/2/0/_staging/*")
        process.kill()
        process.wait()
    assert staging.exists()
    if by == "the slice that publishes":
        last = tenancy(place, 1, 2)
        with last.hold(), last.enter():
            last.seal()
    else:
        with tenancy(place, run_id="day").hold():
            pass
    assert list(Path(place.root).rglob("_staging*/*")) == []


def test_a_slice_on_another_machine_counts_as_alive_until_it_was_silent_for_long(place: Place) -> None:
    dead = replace(this_process("night", 2, 0.6), host="elsewhere", boot="another")
    place.put("_slices/night/2/0/_lease/00000001.json", dead.to_bytes())
    started = time.monotonic()
    with tenancy(place, run_id="day").hold():
        assert time.monotonic() - started >= 0.6


@pytest.mark.parametrize("count", [1, 2])
def test_a_lease_lasts_as_long_as_the_job_says(count: int, tmp_path: Path) -> None:
    place = local_place(tmp_path)
    with OutputLock(place.root, Storage(), Slice(0, count), "night", 45.0, on_lost=pytest.fail).hold():
        (file,) = Path(place.root).rglob("_lease/*.json")
        assert json.loads(file.read_text())["ttl_s"] == 45
