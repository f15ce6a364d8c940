"""The curve of training scores as an HTML page: one file without scripts, which opens anywhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from actors.escapes import printable
from jobs.evaluating.results import score_text
from jobs.pages.page import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.following.curve import Point


class Row(NamedTuple):
    """A checkpoint in the table; ``kind`` is best, wrong or empty."""

    name: str
    value: str
    note: str
    kind: str


def curve_page(score: str, points: Sequence[Point]) -> str:
    """Returns HTML with a chart and a table of ``points``, including errors of those that could not be evaluated."""
    rows = [_row(score, point) for point in points]
    return (
        environment()
        .get_template("curve.html")
        .render(
            score=score,
            rows=rows,
            best=next((row for row in rows if row.kind == "best"), None),
            num_scored=sum(bool(row.value) for row in rows),
            chart=Markup(curve_svg(score, points)),  # noqa: S704  escaped
        )
    )


def curve_svg(score: str, points: Sequence[Point]) -> str:
    """Returns only the chart, as an SVG element: in order, a dot for each checkpoint with a score, a cross for each one
    without. Empty if none has a score.
    """
    values = [point.value for point in points if point.value is not None]
    if not values:
        return ""
    low, span = min(values), max(values) - min(values)
    step = (_RIGHT - _LEFT) / max(len(points) - 1, 1)
    places = [
        (_LEFT + number * step, _BOTTOM if value is None else _BOTTOM - (_BOTTOM - _TOP) * _share(value, low, span))
        for number, value in enumerate(point.value for point in points)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for (x, y), point in zip(places, points, strict=True) if point.value is not None)
    marks = "".join(_mark(score, point, x, y) for (x, y), point in zip(places, points, strict=True))
    high_text, low_text = score_text(score, low + span), score_text(score, low)
    return (
        f'<svg class="curve" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{_text(score)} from {low_text} to {high_text}">'
        f'<text x="{_LEFT - 12}" y="{_TOP + 4}">{high_text}</text>'
        f'<text x="{_LEFT - 12}" y="{_BOTTOM + 4}">{low_text if span else ""}</text>'
        f'<path class="axis" d="M{_LEFT} {_TOP - 10}V{_BOTTOM + 10}H{_RIGHT}"/>'
        f'<polyline points="{line}"/>{marks}</svg>'
    )


_WIDTH, _HEIGHT = 800, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 110, 780, 30, 260


def _share(value: float, low: float, span: float) -> float:
    return (value - low) / span if span else 1.0


def _mark(score: str, point: Point, x: float, y: float) -> str:
    if point.value is None:
        title = f"<title>{_text(point.name)}: {_text(point.error or 'no score')}</title>"
        return f'<path class="wrong" d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10">{title}</path>'
    title = f"<title>{_text(point.name)}: {score_text(score, point.value)}</title>"
    kind, radius = (' class="best"', 7) if point.is_best else ("", 4)
    return f'<circle{kind} cx="{x:.1f}" cy="{y:.1f}" r="{radius}">{title}</circle>'


def _row(score: str, point: Point) -> Row:
    value = "" if point.value is None else score_text(score, point.value)
    note = f"{point.error}; fix: {point.fix}" if point.error else "best" * point.is_best
    return Row(point.name, value, note, "wrong" if point.error else "best" * point.is_best)


def _text(content: str) -> str:
    """Escapes text for an element or an attribute, with control characters made visible."""
    return escape(printable(content))
