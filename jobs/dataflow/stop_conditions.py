"""When a pass of the pipeline is to end before its end: too many images fail, or nothing moves. Runs on the driver, in
the thread that looks at the ledger.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.tracking.ledger import View
    from actors.writing.summaries import Summary
    from jobs.cli.shutdown import Shutdown
    from jobs.job import Job


class SilenceError(Exception):
    """For so long no worker gave a sign of life. ``is_shrunk`` where the cluster has less than the plan takes, so that
    another plan may help.
    """

    def __init__(self, seconds: float, *, is_shrunk: bool) -> None:
        super().__init__(_SILENCE.format(seconds))
        self.is_shrunk = is_shrunk


class StopConditions:
    """Looks at the ledger now and then: whether too many images fail, and whether anything moves at all.

    Args:
        job: says how many may fail, and how long a batch may take.
        before: what was done when this pass began.
        stop: what ends the pass.
        is_shrunk: whether the cluster has less than the plan takes. Actors may then hold what the readers wait for, or
            wait themselves; a node that is lost can still be counted for a while when the plan is made.
    """

    def __init__(self, job: Job, before: Summary, stop: Shutdown, is_shrunk: Callable[[], bool]) -> None:
        self._job = job
        self._before = before
        self._stop = stop
        self._is_shrunk = is_shrunk
        self._num_signs = -1
        self._sign_at = 0.0
        self._armed = (0.0, False)

    def __call__(self, view: View) -> bool:
        """Whether no more images are to be taken in."""
        num_images = self._before.num_images + view.num_ok + view.num_errors
        if self._job.errors.is_exceeded(num_images, self._before.num_errors + view.num_errors):
            self._stop.ask()
        if self._job.run.stall_s is not None:
            self._limit_silence(view.num_signs, _SILENCES * self._job.run.stall_s)
        return self._stop.is_asked

    def _limit_silence(self, num_signs: int, limit_s: float) -> None:
        """Puts the end off at each sign of life, and near where nothing will move by itself."""
        now = time.monotonic()
        has_moved, is_shrunk = num_signs != self._num_signs, False
        if has_moved:
            self._num_signs, self._sign_at = num_signs, now
        elif self._is_shrunk():
            limit_s, is_shrunk = min(limit_s, _SHRUNK_S), True
        if has_moved or (limit_s, is_shrunk) != self._armed:
            self._armed = limit_s, is_shrunk
            error = SilenceError(limit_s, is_shrunk=is_shrunk)
            self._stop.interrupt(error, max(self._sign_at + limit_s - now, 0.001))


_SILENCES = 3
_SHRUNK_S = 30.0  # nodes that are replaced come back later than this: what they lack is planned without them
_SILENCE = "no worker gave a sign of life for {:g} s: the cluster may have lost CPUs or GPUs that the job waits for"
