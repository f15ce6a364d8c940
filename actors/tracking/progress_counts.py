"""Number and rate of predicted images, counted once even if their batch is retried. Part of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from actors.tracking.attempts import Work


class Pace(NamedTuple):
    """The steady part of a run, from the end of its first batch to the end of its last; excludes start-up."""

    num_images: int
    """Images, excluding the first batch."""
    seconds: float

    @property
    def images_per_s(self) -> float:
        """Images per second; 0 if there was only one batch."""
        return self.num_images / self.seconds if self.seconds else 0.0


class Tally:
    """Counts for display and for the error budget; exact counts are read from the parts.

    A retried batch does not count again, unless thousands of others ended in between, which bounds memory. Ray retries
    the task of a lost worker at once.
    """

    def __init__(self) -> None:
        self.num_ok = 0
        self.num_errors = 0
        self._num_first = 0
        self._first_s = self._last_s = 0.0
        self._counted: dict[Work, None] = {}  # a set in insertion order

    @property
    def pace(self) -> Pace:
        return Pace(self.num_ok + self.num_errors - self._num_first, self._last_s - self._first_s)

    def add(self, work: Work, num_ok: int, num_errors: int, *, at_s: float) -> bool:
        """Counts a batch that ended at ``at_s``, by any clock; returns False if it was counted before."""
        if not num_ok + num_errors or work in self._counted:
            return False
        if not self._counted:
            self._num_first, self._first_s = num_ok + num_errors, at_s
        self._last_s = at_s
        self.num_ok += num_ok
        self.num_errors += num_errors
        self._counted[work] = None
        if len(self._counted) > _MAX_COUNTED:
            del self._counted[next(iter(self._counted))]
        return True


_MAX_COUNTED = 4096  # batches remembered
