from __future__ import annotations

import pytest

from actors.row_ranges import Piece
from actors.tracking.attempts import PREDICT, READ, Instructions, Work
from jobs.dataflow.ledger_actor import RemoteLedger, start_ledger

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster")]

BATCH = Work(PREDICT, (Piece(5, ((32, 64),)),))
SHARD = Work(READ, (Piece(5, ((0, 64),)),))


@pytest.mark.parametrize("is_draining", [False, True])
def test_what_a_worker_says_comes_to_the_driver(is_draining: bool) -> None:  # noqa: FBT001
    import ray  # noqa: PLC0415  the guard of the unit tests

    def work(ledger: RemoteLedger) -> tuple[Instructions, bool, bool]:
        """Runs in a worker."""
        ledger.set_engine({"engine": "torch"})
        ledger.begin(SHARD, "host:1")
        ledger.begin(SHARD, "host:2")
        stop = ledger.start_batch(SHARD, (5, 16))
        ledger.finish_batch(SHARD, (5, 32))
        instructions = ledger.begin(SHARD, "host:3")
        for _ in range(2):
            ledger.begin(BATCH, "host:4")
            ledger.start_image(BATCH, (5, 40), PREDICT)
            ledger.report_exit(BATCH, "stalled", "nothing came")
        ledger.end(BATCH, 30, 2, {("blocks",): 1})
        ledger.count_part(0.5, 1000)
        ledger.engine()  # waits for the calls before it, which are not awaited
        return instructions, stop, ledger.is_draining.is_set()

    ledger = start_ledger(60.0)
    if is_draining:
        ledger.drain()
    instructions, stop, worker_is_draining = ray.get(ray.remote(num_cpus=0)(work).remote(ledger))
    assert instructions == (
        Instructions(stop=True) if is_draining else Instructions(60.0, frozenset({(5, 0), (5, 32)}))
    )
    assert stop is ledger.is_draining.is_set() is is_draining
    assert not worker_is_draining, "that is the driver's own; workers ask"
    num_ok, num_errors, events, overdue, _, flow = ledger.snapshot(0, timeout_s=10)
    assert (num_ok, num_errors) == (30, 2)
    assert "shard 5, row 40: the worker host:4 died at predict while it processed this image alone" in [
        event.text for event in events
    ]
    assert len(overdue) == (not is_draining)
    assert flow["blocks",] == 1
    assert (flow["parts",], flow["written_bytes",], flow["stage_seconds", "write"]) == (1, 1000, 0.5)
    assert flow["worker_deaths", "predict"] == 1
    assert ledger.engine() == {"engine": "torch"}
    assert ledger.pace() == (0, 0.0), "one batch has no pace"


def test_without_its_actor_the_run_is_over() -> None:
    import ray  # noqa: PLC0415

    ledger = start_ledger(None)
    ray.kill(ledger.actor)
    with pytest.raises(ray.exceptions.RayError):
        ledger.begin(BATCH, "host:1")
