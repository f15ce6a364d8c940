from __future__ import annotations

import os
import pickle
import socket

import pytest

from actors.errors import ImageError
from actors.row_ranges import Piece
from actors.tracking.attempts import LOAD, PREDICT, READ, Instructions, Work, WorkerKilledError, attempt
from actors.tracking.ledger import Ledger

BATCH = Work(PREDICT, (Piece(5, ((32, 40),)), Piece(6, ((0, 2), (7, 8)))))


def died(ledger: Ledger, work: Work) -> bool:
    """Returns True if the ledger treats the next attempt as a retry after a death."""
    ledger.begin(work, "")
    return bool(ledger.snapshot().events)


def test_work_says_which_rows_and_where_it_begins() -> None:
    assert str(BATCH) == "shard 5, rows 32 to 39; shard 6, rows 0 to 1, 7 to 7"
    assert BATCH.first == (5, 32)
    assert (str(Work(LOAD, "actor 1f")), Work(LOAD, "actor 1f").first) == ("actor 1f", None)


def test_work_that_ends_is_counted() -> None:
    ledger = Ledger()
    with attempt(ledger, BATCH) as current:
        current.num_ok, current.num_errors = 9, 2
    assert ledger.snapshot()[:2] == (9, 2)
    assert not died(ledger, BATCH)


def test_an_exception_is_no_death() -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match="no"), attempt(ledger, BATCH):
        raise ValueError("no")
    assert not died(ledger, BATCH)


def test_a_generator_that_is_closed_early_is_no_death() -> None:
    ledger = Ledger()

    def rows() -> object:
        with attempt(ledger, Work(READ, BATCH.what)):
            yield 1
            yield 2

    generator = rows()
    next(generator)
    generator.close()
    assert not died(ledger, Work(READ, BATCH.what))


def test_the_worker_is_named_by_host_and_process() -> None:
    ledger = Ledger()
    with attempt(ledger, BATCH):
        ledger.begin(BATCH, "")
        assert f"the worker {socket.gethostname()}:{os.getpid()} died" in ledger.snapshot().events[0].text


def test_where_trying_again_is_of_no_use_it_is_not_tried() -> None:
    ledger = Ledger()
    for _ in range(5):
        ledger.begin(BATCH, "host:1")
    with pytest.raises(WorkerKilledError, match="no image can be blamed"), attempt(ledger, BATCH):
        pytest.fail("it was tried")


def test_instructions_survive_pickling() -> None:
    instructions = Instructions(3.0, frozenset({(5, 32)}), {(5, 40): ImageError("predict", "stalled", "long")})
    sent = pickle.loads(pickle.dumps(instructions))  # noqa: S301
    assert (sent.careful, sent.quarantined[5, 40].kind) == (instructions.careful, "stalled")
