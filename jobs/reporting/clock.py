"""Stopwatch for the phases of a command. Runs on the driver."""

from __future__ import annotations

import time


class Clock:
    """Measures the seconds of each phase, from one lap to the next."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()  # a wall clock correction must not make a phase negative

    def lap(self, phase: str) -> None:
        """Ends ``phase``. The seconds of laps with the same name add up."""
        now = time.monotonic()
        self.seconds[phase] = round(self.seconds.get(phase, 0.0) + now - self._since, 3)
        self._since = now
