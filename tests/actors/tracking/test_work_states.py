from __future__ import annotations

from itertools import product

import pytest

from actors.tracking.work_states import LESSONS, TRANSITIONS, Lesson, Signal, State

# One line per state, one column per signal; a dash marks a forbidden transition.
TABLE = """
                 LOAD     START_BATCH  START_CAREFUL_BATCH  START_IMAGE  READ_AHEAD     WAIT     END   DEATH
IDLE             LOADING  WHOLE_BATCH  CAREFUL_BATCH        -            -              -        -     -
LOADING          -        -            -                    -            -              -        IDLE  IDLE
WHOLE_BATCH      -        WHOLE_BATCH  CAREFUL_BATCH        ONE_IMAGE    READING_AHEAD  WAITING  IDLE  IDLE
CAREFUL_BATCH    -        WHOLE_BATCH  CAREFUL_BATCH        ONE_IMAGE    READING_AHEAD  WAITING  IDLE  IDLE
ONE_IMAGE        -        -            -                    ONE_IMAGE    READING_AHEAD  WAITING  IDLE  IDLE
READING_AHEAD    -        WHOLE_BATCH  CAREFUL_BATCH        -            -              -        IDLE  IDLE
WAITING          -        WHOLE_BATCH  CAREFUL_BATCH        -            -              -        IDLE  IDLE
"""
HEADER, *LINES = (line.split() for line in TABLE.strip().splitlines())
EXPECTED = {
    (State[name], Signal[signal]): None if state == "-" else State[state]
    for name, *states in LINES
    for signal, state in zip(HEADER, states, strict=True)
}


def test_the_table_is_whole() -> None:
    assert EXPECTED.keys() == set(product(State, Signal))


@pytest.mark.parametrize(("state", "signal"), EXPECTED, ids=lambda value: value.name)
def test_each_transition(state: State, signal: Signal) -> None:
    assert TRANSITIONS[state].get(signal) is EXPECTED[state, signal]


def test_every_state_in_which_a_worker_can_die_teaches_something_or_nothing() -> None:
    assert LESSONS == {
        State.LOADING: Lesson.NOTHING,
        State.WHOLE_BATCH: Lesson.SUSPECT_BATCH,
        State.CAREFUL_BATCH: Lesson.NOTHING,
        State.ONE_IMAGE: Lesson.BLAME_IMAGE,
        State.READING_AHEAD: Lesson.SUSPECT_BATCH,
        State.WAITING: Lesson.OTHER_WORK,
    }
    assert LESSONS.keys() == {state for state in State if Signal.DEATH in TRANSITIONS[state]}
