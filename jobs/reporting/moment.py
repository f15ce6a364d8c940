"""Snapshot of the progress of a pass. Created on the driver."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """Progress of a run at one point in time."""

    num_done: int
    num_errors: int
    total: int
    images_per_s: float
    """Rate since the end of the first batch, which excludes actor start-up; 0 until known."""

    def __str__(self) -> str:
        done, errors = f"{self.num_done:,} of {self.total:,} images", f"{self.num_errors:,} errors"
        if not self.images_per_s:
            return f"{done}, {errors}"
        left = _duration((self.total - self.num_done) / self.images_per_s)
        return f"{done}, {self.images_per_s:,.1f} images/s, {errors}, {left} left"


def _duration(seconds: float) -> str:
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"
