from __future__ import annotations

import pickle

from actors.row_ranges import Piece
from actors.tracking.attempts import LOAD, PREDICT, Work
from actors.tracking.ledger_events import LedgerEvent


def test_a_line_knows_its_shard_and_worker_on_the_other_side_too() -> None:
    work = Work(PREDICT, (Piece(5, ((32, 40),)), Piece(6, ((0, 2),))))
    news = pickle.loads(pickle.dumps(LedgerEvent.of(work, "host:1", "it died")))  # noqa: S301  as Ray does
    assert news == "it died"
    assert news.about == {"shard": 5, "worker": "host:1"}


def test_what_is_not_known_is_left_out() -> None:
    assert LedgerEvent.of(Work(LOAD, "actor 1f"), "host:1", "it died").about == {"worker": "host:1"}
    assert LedgerEvent("so it is", shard=0).about == {"shard": 0}
