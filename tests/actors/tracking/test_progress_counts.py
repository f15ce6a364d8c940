from __future__ import annotations

import pickle

from actors.row_ranges import Piece
from actors.tracking.attempts import PREDICT, Work
from actors.tracking.progress_counts import Pace, Tally


def batch(shard: int) -> Work:
    return Work(PREDICT, (Piece(shard, ((0, 32),)),))


def test_a_batch_counts_once() -> None:
    tally = Tally()
    counts = [tally.add(work, 30, 2, at_s=1) for work in (batch(1), batch(2), batch(1), batch(1))]
    assert counts == [True, True, False, False]
    assert (tally.num_ok, tally.num_errors) == (60, 4)


def test_its_memory_is_bounded() -> None:
    tally = Tally()
    for shard in range(10_000):
        tally.add(batch(shard), 32, 0, at_s=shard)
    assert tally.num_ok == 320_000
    assert len(pickle.dumps(tally)) < 300_000


def test_the_pace_begins_with_the_end_of_the_first_batch_and_ends_with_that_of_the_last() -> None:
    tally = Tally()
    assert tally.pace == Pace(0, 0)
    for shard, at_s in ((1, 100.0), (2, 101.0), (3, 104.0), (3, 900.0)):
        tally.add(batch(shard), 30, 2, at_s=at_s)
    assert tally.pace == Pace(64, 4.0)
    assert tally.pace.images_per_s == 16


def test_one_batch_has_no_pace() -> None:
    tally = Tally()
    tally.add(batch(1), 32, 0, at_s=5)
    assert tally.pace.images_per_s == 0
