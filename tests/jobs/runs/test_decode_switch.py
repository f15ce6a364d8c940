"""The parts of a run that a GPU decoded, before and after the GPU is found to be wrong; no cluster and no GPU."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from blocks import predicted_block
from finished import add_photos, job_over, opened
from places import Place

from actors.decoding.config import Decode, DecodeDevice
from actors.errors import DecoderMismatchError
from actors.storage.store import Storage
from actors.writing.part_writer import SinkPlan, write_part
from jobs.leases.slices import Slice
from jobs.runs.commit import Outcome, publish
from jobs.runs.decode_switch import _in_words, as_switched, read_switches, switch_to_cpu
from jobs.runs.opening import Run

SEEN = DecoderMismatchError("shard 3: /in/6.jpg: the GPU gives a single colour")
WHOLE = {"id": "night"}
FIRST, SECOND = ({"id": "night", "slices": 2, "slice": number} for number in (0, 1))


@pytest.fixture
def job_folder(tmp_path: Path) -> Path:
    add_photos(tmp_path / "images", range(10))
    return tmp_path


def run_of(folder: Path, **run: object) -> Run:
    """Returns a run with five shards of two images each."""
    job = replace(job_over(folder / "images", folder / "out"), decode=Decode(device=DecodeDevice.gpu))
    return opened(job, **run)


def write(run: Run, shard: int, device: str, *, bad: tuple[int, ...] = ()) -> None:
    provenance = {"fingerprint": "mabc", "decode": device}
    write_part(
        SinkPlan(run.paths, run.storage, provenance, 100), predicted_block(shard, range(2), bad=bad), number=shard
    )


def missing(outcome: Outcome) -> list[int]:
    return [piece.shard for piece in outcome.coverage.missing()]


def test_what_the_gpu_decoded_is_done_again_and_what_the_cpu_decoded_stays(
    job_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_of(job_folder)
    for shard, device in enumerate(("gpu", "gpu", "cpu", "gpu")):
        write(run, shard, device, bad=(1,))
    before = run.collect()
    assert missing(before) == [4]
    with caplog.at_level(logging.ERROR, "shardlens"):
        switched = switch_to_cpu(run, before, SEEN)
    assert caplog.messages == [f"decoding switched from GPU to CPU: {SEEN.seen}; redoing 6 images of shards 0 to 1, 3"]
    assert (run.job.decode.device, switched.job.decode.device) == (DecodeDevice.gpu, DecodeDevice.cpu)
    after = switched.collect(before=before)
    assert missing(after) == [0, 1, 3, 4]
    assert before.standing_in(after).summary == after.summary
    assert (after.summary.num_ok, after.summary.num_errors) == (1, 1)
    for shard in (0, 1, 3, 4):
        write(run, shard, "cpu")
    write(run, 4, "gpu", bad=(0,))  # by a late writer
    last = run.collect(before=after)
    assert not missing(last)
    publish(last, run.paths, run.storage, {})
    assert sorted(path.name.partition("-")[0] for path in Path(run.paths.errors).iterdir()) == [
        "part"
    ]  # that of shard 2
    assert len(list(Path(run.paths.rows).iterdir())) == 5


def test_the_next_driver_remembers(job_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = run_of(job_folder)
    assert as_switched(run) is run
    write(run, 0, "gpu")
    switch_to_cpu(run, run.collect(), SEEN)
    again = run_of(job_folder)
    assert again.record == run.record
    assert missing(again.collect()) == [0, 1, 2, 3, 4]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "shardlens"):
        assert as_switched(again).job.decode.device is DecodeDevice.cpu
    assert caplog.messages == [f"run {run.record.run_id}: a GPU decoded images wrongly earlier; decoding on the CPU"]
    [switch] = read_switches(run.paths, run.storage)
    assert (switch.part, switch.seen, switch.num_images, switch.shards) == (Slice(), SEEN.seen, 2, "0")


def test_each_slice_answers_for_its_own_shards(job_folder: Path) -> None:
    first, second = run_of(job_folder, **FIRST), run_of(job_folder, **SECOND)
    for shard in range(5):
        write(first, shard, "gpu")
    switch_to_cpu(first, first.collect(), SEEN)
    assert read_switches(first.paths, first.storage)[0].shards == "0, 2, 4"
    assert missing(first.collect()) == [0, 2, 4]
    assert missing(second.collect()) == []
    assert as_switched(second) is second
    whole = run_of(job_folder, **WHOLE)
    assert missing(whole.collect()) == [0, 2, 4]
    assert as_switched(whole).job.decode.device is DecodeDevice.cpu


@pytest.mark.parametrize("content", [b"{", b'{"seen": 1}', b"[]", b'{"seen": "x", "num_images": "many", "shards": ""}'])
def test_one_that_is_damaged_holds_all_the_same(content: bytes, job_folder: Path) -> None:
    run = run_of(job_folder)
    write(run, 0, "gpu")
    folder = Path(run.paths.decode_switches)
    folder.mkdir()
    (folder / "0-of-0.json").write_bytes(content)
    assert read_switches(run.paths, run.storage) == []
    (folder / "0-of-1.json").write_bytes(content)
    assert 0 in missing(run.collect())
    [switch] = read_switches(run.paths, run.storage)
    assert str(switch) == "switched from GPU to CPU: the reason is lost"


def test_it_is_kept_on_any_storage(place: Place, job_folder: Path) -> None:
    run = run_of(job_folder)
    run = replace(run, storage=Storage(place.options), paths=replace(run.paths, root=place.root))
    assert read_switches(run.paths, run.storage) == []
    write(run, 1, "gpu")
    switch_to_cpu(run, run.collect(), SEEN)
    assert missing(run.collect()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("shards", "words"), [([], ""), ([0], "0"), ([0, 1], "0 to 1"), ([2, 4, 5, 6, 9], "2, 4 to 6, 9")]
)
def test_shards_in_words(shards: list[int], words: str) -> None:
    assert _in_words(shards) == words
