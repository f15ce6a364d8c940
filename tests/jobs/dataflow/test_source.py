"""Read tasks of Ray Data."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from read_plans import WHOLE, plan_over_ten

from actors.columns import SHARD
from actors.reading.reader import ReadPlan
from actors.row_ranges import Piece
from actors.tracking.ledger import Ledger
from jobs.dataflow.source import ShardSource


@pytest.fixture
def plan(tmp_path: Path) -> ReadPlan:
    return plan_over_ten(tmp_path)


def test_a_read_task_is_small_and_carries_no_list(plan: ReadPlan) -> None:
    pieces = [Piece(shard, ((0, 7),)) for shard in range(1000)]
    tasks = ShardSource(plan, pieces, Ledger()).get_read_tasks(1)
    assert len(tasks) == 1000
    assert len(pickle.dumps(tasks[999].read_fn)) < 5000


def test_a_task_reads_its_own_piece(plan: ReadPlan) -> None:
    tasks = ShardSource(plan, WHOLE, Ledger()).get_read_tasks(2)
    assert {row for block in tasks[1]() for row in block[SHARD].to_pylist()} == {1}


def test_another_reader_gets_the_same_pieces(plan: ReadPlan) -> None:
    ledger = Ledger()
    source = ShardSource(plan, WHOLE, ledger, read=lambda *arguments: [arguments])
    assert [list(task.read_fn()) for task in source.get_read_tasks(1)] == [[(plan, piece, ledger)] for piece in WHOLE]
