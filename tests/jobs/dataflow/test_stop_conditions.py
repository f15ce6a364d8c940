from __future__ import annotations

import pytest

from actors.tracking.ledger import View
from actors.writing.summaries import Summary
from jobs.cluster.config import Cluster
from jobs.dataflow.stop_conditions import SilenceError, StopConditions
from jobs.job import ErrorBudget, Job, RunConfig


class Looked:
    """Arms nothing; records what it is asked to do."""

    def __init__(self) -> None:
        self.is_asked = False
        self.armed: list[float] = []

    def ask(self) -> None:
        self.is_asked = True

    def interrupt(self, error: BaseException, after_s: float) -> None:
        assert isinstance(error, SilenceError)
        assert "no worker gave a sign of life for" in str(error)
        self.armed.append(after_s)
        self.may_help = error.is_shrunk


def view(num_ok: int, num_errors: int, num_signs: int) -> View:
    return View(num_ok, num_errors, [], [], num_signs)


def watch_over(
    stop: Looked, *, is_shrunk: bool = False, stall_s: float = 20, loss_wait_s: float = 30, **budget: float
) -> StopConditions:
    before = Summary(num_ok=90, num_errors=10)
    job = Job(run=RunConfig(stall_s=stall_s), errors=ErrorBudget(**budget), cluster=Cluster(loss_wait_s=loss_wait_s))
    return StopConditions(job, before, stop, lambda: is_shrunk)


def test_what_was_done_before_counts_for_the_budget() -> None:
    stop = Looked()
    watch = watch_over(stop, max_ratio=0.1)
    assert not watch(view(10, 1, 1))
    assert watch(view(10, 3, 2))
    assert stop.is_asked
    assert watch_over(Looked(), max_ratio=1, max_count=10)(view(0, 1, 1))
    assert not watch_over(Looked(), max_ratio=1, max_count=10)(view(5, 0, 1))


def test_each_sign_of_life_puts_the_end_off() -> None:
    stop = Looked()
    watch = watch_over(stop, max_ratio=1)
    for num_signs in (0, 0, 1, 1, 1, 5):
        watch(view(0, 0, num_signs))
    assert stop.armed == [60, 60, 60]


def test_after_a_request_to_stop_the_grace_period_holds() -> None:
    stop = Looked()
    watch = watch_over(stop, max_ratio=1)
    watch(view(0, 0, 1))
    stop.ask()
    assert watch(view(0, 0, 2))
    assert stop.armed == [60]


def test_on_a_cluster_that_has_shrunk_silence_is_soon_too_long() -> None:
    stop = Looked()
    watch = watch_over(stop, is_shrunk=True, max_ratio=1)
    for num_signs in (1, 1, 1, 2):
        watch(view(0, 0, num_signs))
    assert stop.armed == [60, pytest.approx(30, abs=1), 60]
    assert not stop.may_help, "it moved meanwhile"
    patient = Looked()
    watch = watch_over(patient, is_shrunk=True, stall_s=5, max_ratio=1)
    for num_signs in (1, 1):
        watch(view(0, 0, num_signs))
    assert patient.armed == [15, pytest.approx(15, abs=1)]  # what the job says is less anyway
    assert patient.may_help
    waiting = Looked()
    watch = watch_over(waiting, is_shrunk=True, loss_wait_s=45, max_ratio=1)
    for num_signs in (1, 1):
        watch(view(0, 0, num_signs))
    assert waiting.armed == [60, pytest.approx(45, abs=1)]  # replacement nodes may arrive until then
