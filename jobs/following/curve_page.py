"""The curve of the scores of a training as a page: one file without scripts, which opens anywhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from actors.escapes import printable
from jobs.evaluating.results import score_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.following.curve import Point


def curve_page(score: str, points: Sequence[Point]) -> str:
    """HTML with the chart of ``points`` and a table of them, with the errors of those that could not be evaluated."""
    rows = "\n".join(_row(score, point) for point in points)
    name = _text(score)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{name} of the checkpoints</title>\n'
        f"<style>{_STYLE}</style></head>\n<body><main><h1>{name} of the checkpoints</h1>\n{curve_svg(score, points)}\n"
        f'<table><thead><tr><th scope="col">checkpoint</th><th scope="col">{name}</th>'
        f'<th scope="col">note</th></tr></thead>\n<tbody>{rows}</tbody></table></main></body></html>\n'
    )


def curve_svg(score: str, points: Sequence[Point]) -> str:
    """The chart alone, as an SVG element: in order, a dot for each checkpoint with a score, a cross for each other."""
    values = [point.value for point in points if point.value is not None]
    if not values:
        return "<p>No checkpoint has this score yet.</p>"
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
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_text(score)} from {low_text} to {high_text}">'
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


def _row(score: str, point: Point) -> str:
    value = "" if point.value is None else score_text(score, point.value)
    note = f"{point.error}; fix: {point.fix}" if point.error else "best" * point.is_best
    kind = ' class="wrong"' if point.error else ' class="best"' if point.is_best else ""
    return f'<tr{kind}><td>{_text(point.name)}</td><td class="number">{value}</td><td>{_text(note)}</td></tr>'


def _text(content: str) -> str:
    """Text for an element or an attribute, with control characters shown."""
    return escape(printable(content))


_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#1f5fbf, #7fb2ff); --best: light-dark(#0a7a3d, #5fd38d);
  --wrong: light-dark(#b3261e, #ff8a80); --rule: light-dark(#c4c7cc, #50555c); }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; } main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
svg { width: 100%; height: auto; } svg text { font-size: 14px; text-anchor: end; fill: currentColor; }
polyline { fill: none; stroke: var(--line); stroke-width: 2; } circle { fill: var(--line); }
circle.best { fill: var(--best); } path.axis { fill: none; stroke: var(--rule); }
path.wrong { stroke: var(--wrong); stroke-width: 2; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--rule); }
td { overflow-wrap: anywhere; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.best td { color: var(--best); font-weight: 600; } tr.wrong td { color: var(--wrong); }
@media print { :root { color-scheme: light; } }
"""
