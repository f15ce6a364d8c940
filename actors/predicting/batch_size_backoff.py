"""Batch size back-off on a device without memory for full batches. Used in the predictor."""

from __future__ import annotations

from dataclasses import dataclass

# Batches. A failed attempt wastes about one batch: one in 8 at first, one in 1024 in the end.
_FIRST_WAIT, _LONGEST_WAIT = 8, 1024


@dataclass
class BatchSizeBackoff:
    """Number of times the full batch is halved.

    After a failure, waits for a number of good batches before trying the next larger size, and for twice as many if
    that also fails.
    """

    num_halvings: int = 0
    wait: int = _FIRST_WAIT
    """Good batches in a row before the next larger size."""
    num_good: int = 0
    """Good batches in a row so far."""
    has_grown: bool = False

    def record_failure(self) -> None:
        if self.has_grown:
            self.wait = min(2 * self.wait, _LONGEST_WAIT)
        self.num_halvings, self.num_good, self.has_grown = self.num_halvings + 1, 0, False

    def record_success(self) -> None:
        self.num_good += 1
        if self.num_good < self.wait:
            return
        self.num_good = 0
        if self.num_halvings:
            self.num_halvings, self.has_grown = self.num_halvings - 1, True
        else:
            self.wait, self.has_grown = _FIRST_WAIT, False
