"""Number of images done over time, in a bounded number of points for runs of any length. Kept on the driver."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Timeline:
    """Number of images done, by seconds since the first call of `record`.

    When full, it drops every second point and from then on records half as often.
    """

    max_points: int = 240
    clock: Callable[[], float] = time.monotonic
    """Seconds between points."""
    _begun: float | None = None
    _every_s: float = 0.0
    _points: list[tuple[float, int]] = field(default_factory=list)
    _latest: tuple[float, int] | None = None

    def record(self, num_done: int) -> None:
        """Records the number of images done. Retried ones may count twice, so a number may be lower than the last."""
        now = self.clock()
        self._begun = now if self._begun is None else self._begun
        self._latest = round(now - self._begun, 3), num_done
        if self._points and self._latest[0] - self._points[-1][0] < self._every_s:
            return
        self._points.append(self._latest)
        if len(self._points) >= self.max_points:
            self._every_s = 2 * self._points[-1][0] / len(self._points)
            self._points = self._points[::2]

    @property
    def points(self) -> list[tuple[float, int]]:
        """Returns seconds and numbers of images, in ascending order of time."""
        latest = [self._latest] if self._latest and self._latest not in self._points[-1:] else []
        return [*self._points, *latest]
