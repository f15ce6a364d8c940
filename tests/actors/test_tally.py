from __future__ import annotations

import pickle

from actors.receipts import Piece
from actors.tally import Tally
from actors.work import PREDICT, Work


def batch(shard: int) -> Work:
    return Work(PREDICT, (Piece(shard, ((0, 32),)),))


def test_a_batch_counts_once() -> None:
    tally = Tally()
    for work in (batch(1), batch(2), batch(1), batch(1)):
        tally.add(work, 30, 2)
    assert (tally.num_ok, tally.num_errors) == (60, 4)


def test_its_memory_is_bounded() -> None:
    tally = Tally()
    for shard in range(10_000):
        tally.add(batch(shard), 32, 0)
    assert tally.num_ok == 320_000
    assert len(pickle.dumps(tally)) < 300_000
