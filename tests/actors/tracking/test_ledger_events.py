from __future__ import annotations

import pickle

from actors.row_ranges import Piece
from actors.tracking.attempts import LOAD, PREDICT, Work
from actors.tracking.ledger_events import LedgerEvent


def test_an_event_keeps_its_shard_and_worker_when_pickled() -> None:
    work = Work(PREDICT, (Piece(5, ((32, 40),)), Piece(6, ((0, 2),))))
    event = pickle.loads(pickle.dumps(LedgerEvent.of(work, "host:1", "it died")))  # noqa: S301  as Ray does
    assert event.text == "it died"
    assert event.log_fields == {"shard": 5, "worker": "host:1"}


def test_unknown_fields_are_omitted() -> None:
    assert LedgerEvent.of(Work(LOAD, "actor 1f"), "host:1", "it died").log_fields == {"worker": "host:1"}
    assert LedgerEvent("so it is", shard=0).log_fields == {"shard": 0}
