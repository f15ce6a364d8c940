"""Conditions that end a pass of the pipeline early: too many errors, or no progress. Runs on the driver, in the thread
that polls the ledger.
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
    """No worker showed a sign of life for too long. ``is_shrunk`` means that the cluster has less than the plan needs,
    so a new plan may help.
    """

    def __init__(self, seconds: float, *, is_shrunk: bool) -> None:
        super().__init__(_SILENCE.format(seconds))
        self.is_shrunk = is_shrunk


class StopConditions:
    """Checks ledger views against the error budget and the stall limit.

    Args:
        job: job with the error budget and the stall limit.
        before: number of images done before this pass.
        stop: ends the pass.
        is_shrunk: returns True if the cluster has less than the plan needs. Actors may then hold the resources that
            readers need, or wait themselves. A lost node may still be counted when the plan is made.
    """

    def __init__(self, job: Job, before: Summary, stop: Shutdown, is_shrunk: Callable[[], bool]) -> None:
        self._job = job
        self._before = before
        self._stop = stop
        self._is_shrunk = is_shrunk
        self._num_signs = -1  # so that the first view counts as a sign of life
        self._sign_at = 0.0
        self._armed = (0.0, False)  # limit and is_shrunk of the pending interrupt

    def __call__(self, view: View) -> bool:
        """Returns True if no more images are to be read. Must be called until the pass ends."""
        num_images = self._before.num_images + view.num_ok + view.num_errors
        if self._job.errors.is_exceeded(num_images, self._before.num_errors + view.num_errors):
            self._stop.ask()
        if self._job.run.stall_s is not None and not self._stop.is_asked:  # then the grace period applies
            self._limit_silence(view.num_signs, _SILENCES * self._job.run.stall_s)
        return self._stop.is_asked

    def _limit_silence(self, num_signs: int, limit_s: float) -> None:
        """Postpones the timeout at each sign of life, and shortens it if the plan no longer fits the cluster."""
        now = time.monotonic()
        has_moved, is_shrunk = num_signs != self._num_signs, False
        if has_moved:
            self._num_signs, self._sign_at = num_signs, now
        elif self._is_shrunk():
            limit_s, is_shrunk = min(limit_s, self._job.cluster.loss_wait_s), True
        if has_moved or (limit_s, is_shrunk) != self._armed:
            self._armed = limit_s, is_shrunk
            # A timer, not a check here: the ledger itself may have stopped responding, and then no views arrive.
            error = SilenceError(limit_s, is_shrunk=is_shrunk)
            self._stop.interrupt(error, max(self._sign_at + limit_s - now, 0.001))  # 0 would disarm the timer


_SILENCES = 3  # times `run.stall_s`: the ledger replaces a stalled worker first
_SILENCE = "no worker gave a sign of life for {:g} s: the cluster may have lost CPUs or GPUs that the job waits for"
