"""The curve of training scores as text for a terminal. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from jobs.evaluating.results import score_text

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Point:
    """A checkpoint on the curve."""

    name: str
    value: float | None
    """The score; None if the checkpoint has none."""
    is_best: bool = False
    error: str = ""
    fix: str = ""


def sparkline(points: Sequence[Point], width: int = 24) -> str:
    """Returns the latest ``width`` points as a line of bars, with a gap for each checkpoint without a score."""
    return "".join(_bars(points[-width:], 1)[0])


def plot(score: str, points: Sequence[Point], width: int = 72) -> list[str]:
    """Returns the lines of a chart of at most ``width`` columns; empty if no point has a score.

    Each column is one checkpoint, or the last of several if there are more checkpoints than columns. A mark below shows
    the best one.
    """
    values = [point.value for point in points if point.value is not None]
    if not values:
        return []
    high, low = score_text(score, max(values)), score_text(score, min(values))
    margin = max(len(high), len(low)) + 1
    shown = _thinned(points, max(width - margin - 1, 1))
    rows = ["".join(line) for line in _bars(shown, _HEIGHT)]
    labels = [high, *[""] * (_HEIGHT - 2), low if low != high else ""]
    lines = [f"{label:>{margin}} {row}".rstrip() for label, row in zip(labels, rows, strict=True)]
    marks = "".join("^" if point.is_best else " " for point in shown).rstrip()
    best = next((point.name for point in shown if point.is_best), "")
    return [f"{score}, {len(values)} checkpoints", *lines, f"{'':>{margin}} {marks} {best}"]


_HEIGHT = 6  # lines of the chart
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def _bars(points: Sequence[Point], height: int) -> list[list[str]]:
    """Returns bars that span the values, as ``height`` lines from the top. The lowest bar is one eighth of a line."""
    values = [point.value for point in points if point.value is not None]
    low, span = (min(values), max(values) - min(values)) if values else (0.0, 0.0)
    steps = 8 * height - 1
    eighths = [
        0 if point.value is None else 1 + round(steps * ((point.value - low) / span if span else 1.0))
        for point in points
    ]
    return [[_EIGHTHS[min(max(one - 8 * line, 0), 8)] for one in eighths] for line in reversed(range(height))]


def _thinned(points: Sequence[Point], width: int) -> list[Point]:
    """Returns at most ``width`` points: from each of equal groups, the best point if it is there, else the last."""
    if len(points) <= width:
        return list(points)
    ends = [round(place * len(points) / width) for place in range(width + 1)]
    groups = [points[start:end] for start, end in pairwise(ends)]
    return [next((point for point in group if point.is_best), group[-1]) for group in groups]
