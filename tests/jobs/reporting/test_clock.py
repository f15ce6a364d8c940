"""Stopwatch for phases."""

from __future__ import annotations

import time

from jobs.reporting.clock import Clock


def test_laps_add_up_to_the_time_that_passed() -> None:
    clock, started = Clock(), time.monotonic()
    clock.lap("one")
    clock.lap("two")
    assert list(clock.seconds) == ["one", "two"]
    assert sum(clock.seconds.values()) <= time.monotonic() - started + 0.002
