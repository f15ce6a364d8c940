from __future__ import annotations

import pickle

import pytest

from actors.row_ranges import Piece
from actors.tracking.attempts import LOAD, PREDICT, READ, Instructions, Row, Work
from actors.tracking.ledger import Ledger

SHARD = Work(READ, (Piece(5, ((0, 64),)),))
BATCH = Work(PREDICT, (Piece(5, ((32, 64),)),))
MODEL = Work(LOAD, "actor 1f")
STALL_S = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(STALL_S, clock)


def die_at(ledger: Ledger, work: Work, row: Row | None = None, stage: str = PREDICT) -> Instructions:
    """Begins ``work`` and dies, at ``row`` processed alone if given. Returns the instructions for the attempt."""
    instructions = ledger.begin(work, "host:1")
    if row is not None:
        ledger.start_image(work, row, stage)
    return instructions


def quarantine(ledger: Ledger, work: Work, *rows: Row) -> None:
    """Lets enough workers die at each of ``rows`` to quarantine it."""
    die_at(ledger, work)
    for row in rows:
        for _ in range(2):
            die_at(ledger, work, row)


def test_work_is_begun_without_further_ado(ledger: Ledger) -> None:
    assert ledger.begin(BATCH, "host:1") == Instructions(limit_s=STALL_S)
    assert ledger.snapshot() == (0, 0, [], [], 1, {})


def test_an_image_at_which_two_careful_workers_died_is_quarantined_and_no_other(ledger: Ledger) -> None:
    assert not die_at(ledger, BATCH).careful
    for _ in range(2):
        instructions = die_at(ledger, BATCH, (5, 40))
        assert instructions.careful == {(5, 32)}
        assert not instructions.quarantined
    instructions = ledger.begin(BATCH, "host:4")
    assert instructions.careful == {(5, 32)}
    [(row, error)] = instructions.quarantined.items()
    assert row == (5, 40)
    assert (error.stage, error.kind) == ("predict", "killed_worker")
    assert "died, 2 times with this image alone; last on host:1" in error.message
    assert (
        ledger.snapshot().events[0].text
        == "shard 5, rows 32 to 63: the worker host:1 died at predict; retrying image by image from row 32 on"
    )


def test_kills_from_outside_quarantine_nothing(ledger: Ledger) -> None:
    die_at(ledger, BATCH)
    for row in range(32, 64):
        die_at(ledger, BATCH, (5, row))  # a different image each time
    assert not ledger.begin(BATCH, "host:1").quarantined


def test_work_that_ended_and_comes_again_is_no_death(ledger: Ledger) -> None:
    for _ in range(10):
        assert ledger.begin(BATCH, "host:1") == Instructions(limit_s=STALL_S)
        ledger.end(BATCH, 32, 0)
    assert not ledger.snapshot().events


def test_a_quarantined_image_stays_so_when_its_batch_comes_again_or_is_cut_otherwise(ledger: Ledger) -> None:
    quarantine(ledger, BATCH, (5, 40))
    ledger.begin(BATCH, "host:1")
    ledger.end(BATCH, 31, 1)
    again = ledger.begin(BATCH, "host:1")
    assert again.careful == {(5, 32)}
    assert again.quarantined.keys() == {(5, 40)}
    other = ledger.begin(Work(PREDICT, (Piece(4, ((0, 9),)), Piece(5, ((20, 30), (40, 50))))), "host:1")
    assert other.quarantined.keys() == {(5, 40)}
    assert not ledger.begin(Work(PREDICT, (Piece(5, ((41, 50),)),)), "host:1").quarantined
    assert not ledger.begin(SHARD, "host:1").quarantined  # another stage


def test_a_reader_is_careful_where_each_death_was(ledger: Ledger) -> None:
    die_at(ledger, SHARD)
    assert not ledger.start_batch(SHARD, (5, 0))
    ledger.finish_batch(SHARD, (5, 16))
    ledger.start_batch(SHARD, (5, 16))
    assert ledger.begin(SHARD, "host:2").careful == {(5, 16)}
    ledger.start_image(SHARD, (5, 16), "read")
    ledger.start_image(SHARD, (5, 16), "decode")
    ledger.finish_batch(SHARD, (5, 32))  # dies while it waits for the next batch
    assert ledger.begin(SHARD, "host:3").careful == {(5, 16), (5, 32)}
    for _ in range(2):
        die_at(ledger, SHARD, (5, 33), stage="decode")
    instructions = ledger.begin(SHARD, "host:4")
    assert instructions.quarantined[5, 33].stage == "decode"
    assert instructions.careful >= {(5, 16), (5, 32)}


def test_a_worker_that_says_why_it_ends_itself_is_believed(ledger: Ledger) -> None:
    die_at(ledger, BATCH)
    for _ in range(2):
        die_at(ledger, BATCH, (5, 40))
        ledger.report_exit(BATCH, "stalled", "no progress for 60 s")
    error = ledger.begin(BATCH, "host:1").quarantined[5, 40]
    assert error.kind == "stalled"
    assert error.message == "no progress for 60 s, 2 times with this image alone; last on host:1"
    said = "shard 5, rows 32 to 63: the worker host:1 ends itself at predict: no progress for 60 s"
    assert said in [event.text for event in ledger.snapshot().events]


def test_one_stall_and_one_death_are_two_deaths(ledger: Ledger) -> None:
    die_at(ledger, BATCH)
    die_at(ledger, BATCH, (5, 40))
    die_at(ledger, BATCH, (5, 40))
    ledger.report_exit(BATCH, "stalled", "no progress")
    assert ledger.begin(BATCH, "host:1").quarantined[5, 40].kind == "killed_worker"


def test_what_came_back_after_all_did_not_stall(ledger: Ledger) -> None:
    die_at(ledger, BATCH)
    for _ in range(2):
        die_at(ledger, BATCH, (5, 40))
        ledger.report_exit(BATCH, "stalled", "no progress")
        ledger.start_image(BATCH, (5, 41), PREDICT)
    assert ledger.begin(BATCH, "host:1").quarantined[5, 41].kind == "killed_worker"


def test_a_model_that_cannot_be_loaded_ends_the_job(ledger: Ledger) -> None:
    for _ in range(4):
        assert not ledger.begin(MODEL, "host:1").failure
    failure = ledger.begin(MODEL, "host:2").failure
    assert failure
    assert failure.startswith("loading the model killed its worker: it died 4 times in a row, last on host:1")


def test_a_model_that_was_loaded_may_be_loaded_again_for_ever(ledger: Ledger) -> None:
    for _ in range(20):
        assert not ledger.begin(MODEL, "host:1").failure
        ledger.end(MODEL)


@pytest.mark.parametrize("work", [SHARD, BATCH])
def test_work_that_dies_before_any_image_ends_the_job(work: Work, ledger: Ledger) -> None:
    for _ in range(5):
        assert not ledger.begin(work, "host:1").failure
    failure = ledger.begin(work, "host:2").failure
    assert failure
    assert failure.startswith(f"{work}: the worker died 4 times in a row, last on host:1")


def test_deaths_at_rest_are_not_the_fault_of_what_rests(ledger: Ledger) -> None:
    for _ in range(20):
        assert not ledger.begin(SHARD, "host:1").failure
        ledger.start_batch(SHARD, (5, 0))
        ledger.finish_batch(SHARD, None)  # then dies from the work on that batch
    assert not ledger.begin(SHARD, "host:2").quarantined


def test_deaths_at_rest_come_to_an_end(ledger: Ledger) -> None:
    for number in range(300):
        assert not ledger.begin(SHARD, "host:1").failure
        ledger.finish_batch(SHARD, (5, 16 + number // 60))  # slow progress
    for _ in range(101):  # the first death makes the batch careful
        ledger.begin(SHARD, "host:1")
        ledger.finish_batch(SHARD, (5, 32))
    assert "died 100 times while it did not read" in str(ledger.begin(SHARD, "host:2").failure)


def test_a_model_that_kills_at_every_image_ends_the_job_wherever_it_shows(ledger: Ledger) -> None:
    quarantine(ledger, BATCH, (5, 32), (5, 33))
    assert not die_at(ledger, BATCH, (5, 34)).failure
    assert not die_at(ledger, BATCH, (5, 34)).failure
    said = "the model killed its worker at 3 images in a row, and no image got through"
    assert ledger.begin(BATCH, "host:1").failure == said
    assert ledger.begin(Work(PREDICT, (Piece(9, ((0, 8),)),)), "host:2").failure == said
    assert not ledger.begin(SHARD, "host:1").failure


def test_once_an_image_went_through_it_is_the_images(ledger: Ledger) -> None:
    die_at(ledger, BATCH)
    die_at(ledger, BATCH, (5, 32))
    ledger.start_image(BATCH, (5, 33), PREDICT)  # proves that 32 succeeded
    quarantine(ledger, BATCH, *((5, row) for row in range(40, 50)))
    instructions = ledger.begin(BATCH, "host:1")
    assert not instructions.failure
    assert len(instructions.quarantined) == 10


def test_images_count_once_however_often_their_batch_is_done(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.begin(BATCH, "host:1")
        ledger.end(BATCH, 30, 2)
    ledger.begin(SHARD, "host:1")
    ledger.end(SHARD)
    assert ledger.snapshot()[:2] == (30, 2)


def test_nothing_is_kept_of_what_ended(ledger: Ledger) -> None:
    for shard in range(10_000):
        work = Work(PREDICT, (Piece(shard, ((0, 32),)),))
        ledger.begin(work, "host:1")
        ledger.end(work, 32, 0)
    assert ledger.snapshot()[:2] == (320_000, 0)
    assert len(pickle.dumps(ledger._open)) < 100


def test_draining_stops_readers_and_lets_predictors_go_on(ledger: Ledger) -> None:
    ledger.begin(SHARD, "host:1")
    assert not ledger.start_batch(SHARD, (5, 0))
    ledger.drain()
    assert ledger.start_batch(SHARD, (5, 16))
    assert ledger.begin(SHARD, "host:1") == Instructions(stop=True)
    assert not ledger.begin(BATCH, "host:1").stop


def test_work_without_a_sign_of_life_is_told_once_and_what_waits_is_not(ledger: Ledger, clock: Clock) -> None:
    ledger.begin(SHARD, "host:1")
    ledger.finish_batch(SHARD, (5, 16))
    ledger.begin(BATCH, "host:2")
    clock.now += 50
    assert ledger.snapshot(60).overdue == []
    clock.now += 11
    assert [event.text for event in ledger.snapshot(60).overdue] == [
        "shard 5, rows 32 to 63: at predict on host:2 for more than 60 s"
    ]
    assert ledger.snapshot(60).overdue == []
    assert ledger.snapshot(None).overdue == []


def test_every_word_of_a_worker_is_a_sign_of_life(ledger: Ledger) -> None:
    ledger.begin(SHARD, "host:1")
    ledger.start_batch(SHARD, (5, 0))
    ledger.start_image(SHARD, (5, 0), "read")
    ledger.finish_batch(SHARD, None)
    ledger.end(SHARD)
    assert [ledger.snapshot().num_signs for _ in range(2)] == [5, 5]


def test_a_late_word_from_a_worker_that_was_taken_for_dead_is_ignored(ledger: Ledger) -> None:
    ledger.begin(BATCH, "host:1")
    ledger.begin(BATCH, "host:2")
    ledger.end(BATCH, 32, 0)
    ledger.start_image(BATCH, (5, 40), PREDICT)
    ledger.finish_batch(BATCH, None)
    ledger.end(BATCH, 32, 0)
    assert ledger.snapshot()[:2] == (32, 0)


def test_what_the_actors_say_executes_the_model(ledger: Ledger) -> None:
    assert ledger.engine() == {}
    ledger.set_engine({"engine": "torch"})
    assert ledger.engine() == {"engine": "torch"}


def test_the_pace_is_that_of_its_batches() -> None:
    now = [50.0]
    ledger = Ledger(clock=lambda: now[0])
    for row in (0, 32, 64):
        work = Work(PREDICT, (Piece(5, ((row, row + 32),)),))
        ledger.begin(work, "host:1")
        now[0] += 2
        ledger.end(work, 32, 0)
    assert ledger.pace() == (64, 4.0)


def test_what_went_through_and_what_died_is_counted_once(ledger: Ledger) -> None:
    ledger.begin(BATCH, "host:1")
    ledger.begin(BATCH, "host:2")
    for _ in range(2):
        ledger.end(BATCH, 30, 2, {("blocks",): 1, ("read_bytes",): 500})
    ledger.end(SHARD)
    ledger.count_part(0.5, 100)
    assert ledger.snapshot().flow == {
        ("worker_deaths", "predict"): 1,
        ("blocks",): 1,
        ("read_bytes",): 500,
        ("parts",): 1,
        ("written_bytes",): 100,
        ("stage_seconds", "write"): 0.5,
    }
    quarantine(ledger, BATCH, (5, 40))
    ledger.begin(BATCH, "host:3")
    assert ledger.snapshot().flow["images_quarantined", "predict"] == 1


def test_what_it_tells_names_the_shard_and_the_worker(ledger: Ledger, clock: Clock) -> None:
    quarantine(ledger, BATCH, (5, 40))
    ledger.begin(BATCH, "host:1")
    clock.now += 100
    view = ledger.snapshot(60)
    assert {(event.shard, event.worker) for event in view.events} == {(5, "host:1")}
    assert [event.log_fields for event in view.overdue] == [{"shard": 5, "worker": "host:1"}]
    ledger.begin(MODEL, "host:7")
    ledger.begin(MODEL, "host:8")
    assert [event.log_fields for event in ledger.snapshot().events] == [{"worker": "host:7"}]


@pytest.mark.parametrize("is_waiting", [False, True])
def test_a_late_signal_from_a_worker_without_a_batch_blames_nothing(ledger: Ledger, is_waiting: bool) -> None:  # noqa: FBT001
    """A worker presumed dead still reports an image, while its successor waits or has ended the work."""
    for _ in range(3):
        ledger.begin(SHARD, "host:1")
        ledger.finish_batch(SHARD, None)
        if not is_waiting:
            ledger.end(SHARD)
        ledger.start_image(SHARD, (5, 40), "read")
    instructions = ledger.begin(SHARD, "host:2")
    assert not instructions.quarantined
    assert not instructions.careful
