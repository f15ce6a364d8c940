from __future__ import annotations

import pytest

from actors.tracking.open_work import ExitReason, OpenWork
from actors.tracking.work_states import LESSONS, TRANSITIONS, Lesson, Signal, State

STALLED = ExitReason("stalled", "no progress")


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("state", State)
def test_a_signal_moves_as_the_table_says_and_a_forbidden_one_changes_nothing(state: State, signal: Signal) -> None:
    work = OpenWork("host:1", state, batch=(5, 0), image=(5, 3))
    is_allowed = signal in TRANSITIONS[state]
    assert work.advance(signal) is is_allowed
    assert work == OpenWork("host:1", TRANSITIONS[state].get(signal, state), batch=(5, 0), image=(5, 3))


@pytest.mark.parametrize("state", LESSONS)
def test_a_death_leaves_what_it_taught(state: State) -> None:
    work = OpenWork("host:1", state, batch=(5, 0), image=(5, 3), exit_reason=STALLED, num_fruitless=2)
    lesson = work.die()
    assert lesson is LESSONS[state]
    assert work.state is State.IDLE
    assert work.kills == ({(5, 3): [STALLED]} if lesson is Lesson.BLAME_IMAGE else {})
    assert work.careful == ({(5, 0)} if lesson is Lesson.SUSPECT_BATCH else set())
    assert work.num_waiting == (lesson is Lesson.OTHER_WORK)
    assert work.num_fruitless == {Lesson.NOTHING: 3, Lesson.OTHER_WORK: 2}.get(lesson, 0)


def test_deaths_while_waiting_count_by_batch() -> None:
    work = OpenWork()
    for batch, expected in (((5, 0), 1), ((5, 0), 2), ((5, 16), 1)):
        work.state, work.batch = State.WAITING, batch
        work.die()
        assert work.num_waiting == expected


def test_signals_know_careful_batches_and_work_without_rows() -> None:
    work = OpenWork(careful={(5, 16)})
    assert [work.start_signal(batch) for batch in (None, (5, 0), (5, 16))] == [
        Signal.LOAD,
        Signal.START_BATCH,
        Signal.START_CAREFUL_BATCH,
    ]
    assert [work.finish_signal(batch) for batch in (None, (5, 0), (5, 16))] == [
        Signal.WAIT,
        Signal.READ_AHEAD,
        Signal.WAIT,
    ]
