"""Charts of the pages as inline SVG, which any browser shows without a script and prints. Pure functions of numbers.

An SVG has only the shapes, in a square of 100 by 100 that CSS stretches; all text stands beside it in HTML, so that it
has the same size on a phone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Chart:
    """Content of a figure; the macro ``chart`` of ``macros.html`` lays it out."""

    title: str
    text: str
    """The same facts in words, for those who do not see the figure."""
    shapes: Markup
    """SVG elements in a square of 100 by 100, y from the top."""
    x_ticks: Sequence[str]
    """Labels at equal distances, the first and the last at the ends."""
    y_ticks: Sequence[str]
    """As `x_ticks`, from the top."""
    x_label: str
    y_label: str


def line_chart(points: Sequence[tuple[float, float]], title: str, text: str, *, labels: tuple[str, str]) -> Chart:
    """Values over time, as an area from 0.

    Args:
        points: at least two of x, ascending, and y, at least 0.
        title: of the figure.
        text: see `Chart`.
        labels: of the axes x and y.
    """
    first, last, top = points[0][0], points[-1][0], round_up(max(y for _, y in points))
    span = (last - first) or 1.0
    drawn = [((x - first) / span * 100, 100 - y / top * 100) for x, y in points]
    path = " L".join(f"{x:.2f} {y:.2f}" for x, y in drawn)
    shapes = Markup('<path class="area" d="M0 100 L{} L100 100 Z"/><path class="line" d="M{}"/>').format(path, path)
    x_ticks = [f"{first + span * place / 4:.1f}".removesuffix(".0") for place in range(5)]
    return Chart(title, text, _GRID + shapes, x_ticks, _ticks(top, 0), *labels)


def column_chart(values: Sequence[int], title: str, text: str, *, labels: tuple[str, str]) -> Chart:
    """Numbers in bins of equal width that share the range from 0 to 1, as columns."""
    top, width = round_up(max(values)), 100 / len(values)
    shapes = Markup().join(
        Markup('<rect class="column" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
            (place + 0.06) * width, 100 - _seen(value / top) * 100, 0.88 * width, _seen(value / top) * 100
        )
        for place, value in enumerate(values)
    )
    return Chart(title, text, _GRID + shapes, _ticks(0, 1, 6), _ticks(top, 0), *labels)


def calibration_chart(bins: Sequence[tuple[float, float, int]], title: str, text: str) -> Chart:
    """Accuracy over confidence with the diagonal where both are equal, and dots that grow with the images of a bin.

    Args:
        bins: mean score and share of right answers, both from 0 to 1, and number of images, which is not 0.
        title: of the figure.
        text: see `Chart`.
    """
    most = max(number for _, _, number in bins)
    drawn = [(score * 100, 100 - right * 100, 6 + 12 * math.sqrt(number / most)) for score, right, number in bins]
    path = " L".join(f"{x:.2f} {y:.2f}" for x, y, _ in drawn)
    # A line of no length with round ends is a dot, whatever the stretching of the square.
    dots = Markup().join(
        Markup('<path class="dot" stroke-width="{:.1f}" d="M{:.2f} {:.2f} h0"/>').format(size, x, y)
        for x, y, size in drawn
    )
    shapes = Markup('<path class="ideal" d="M0 100 L100 0"/><path class="faint" d="M{}"/>').format(path) + dots
    ticks = ["0", "25 %", "50 %", "75 %", "100 %"]
    return Chart(title, text, _GRID + shapes, ticks, ticks[::-1], "score", "correct answers")


def score_chart(values: Sequence[float], place: int, title: str, text: str, *, labels: tuple[str, str]) -> Chart:
    """Scores one after the other as a line, from the least to the greatest, with a dot at one of them.

    Args:
        values: at least one.
        place: index of the one with the dot.
        title: of the figure.
        text: see `Chart`.
        labels: of the axes x and y.
    """
    low, high, last = min(values), max(values), max(len(values) - 1, 1)
    span = (high - low) or 1.0
    drawn = [(position / last * 100, 100 - (value - low) / span * 100) for position, value in enumerate(values)]
    path = " L".join(f"{x:.2f} {y:.2f}" for x, y in drawn)
    line = Markup('<path class="line" d="M{}"/>').format(path)
    dot = Markup('<path class="dot" stroke-width="14" d="M{:.2f} {:.2f} h0"/>').format(*drawn[place])
    x_ticks = ["1", *([str(len(values))] if len(values) > 1 else [])]
    return Chart(title, text, _GRID + line + dot, x_ticks, [number(high), number(low)], *labels)


def round_up(value: float) -> float:
    """Rounds up to the next 1, 2, 2.5, 5 or 10 times a power of ten; 1 for values that are not positive."""
    if not value > 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 2.5, 5, 10) if step * unit >= value * (1 - 1e-9))


def number(value: float) -> str:
    """Formats a number for an axis with two or three digits: ``12``, ``1.5``, ``25k``."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit * (10 if name == "k" else 1):
            return f"{value / unit:.3g}{name}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"  # noqa: PLR2004


def _ticks(first: float, last: float, count: int = 5) -> list[str]:
    return [number(first + (last - first) * place / (count - 1)) for place in range(count)]


def _seen(share: float) -> float:
    """The share of the height that a column takes: one image among a million still shows."""
    return max(share, 0.01) if share else 0.0


_GRID = Markup('<path class="grid" d="M0 0H100M0 25H100M0 50H100M0 75H100"/><path class="axis" d="M0 100H100"/>')
