"""Draws the histograms of two runs over each other as a chart. Pure functions of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from jobs.pages.charts import Chart, number, round_up
from jobs.pages.wording import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.comparison.distributions import Distribution


def drift_chart(found: Distribution) -> Chart:
    """Draws shares of values by bucket: run A as an area, run B as a line."""
    shares = [[count / sum(counts) * 100 for count in counts] for counts in (found.a, found.b)]
    top = round_up(max(map(max, shares)))
    a, b = (_steps(own, top) for own in shares)
    shapes = Markup(
        '<path class="area" style="opacity:.35" d="M0 100 L{a} L100 100 Z"/><path class="line" d="M{a}"/>'
        '<path class="line" style="stroke:var(--stage-3)" d="M{b}"/>'
    ).format(a=a, b=b)
    bounds = [number(found.low + (found.high - found.low) * place / 4) for place in range(5)]
    ticks = [f"{top * (4 - place) / 4:.3g} %" for place in range(5)]
    text = (
        f"{found.name}: mean {found.mean_a:.4g} in run A and {found.mean_b:.4g} in run B. "
        f"In run A {_most(found.a, found)}, in run B {_most(found.b, found)}"
    )
    return Chart(
        f"Distribution of {found.name}", text, _GRID + shapes, bounds, ticks, found.name, "share of the values"
    )


_GRID = Markup('<path class="grid" d="M0 0H100M0 25H100M0 50H100M0 75H100"/><path class="axis" d="M0 100H100"/>')


def _steps(shares: Sequence[float], top: float) -> str:
    width = 100 / len(shares)
    corners = [(place * width, (place + 1) * width, 100 - share / top * 100) for place, share in enumerate(shares)]
    return " L".join(f"{x:.2f} {y:.2f}" for left, right, y in corners for x in (left, right))


def _most(counts: Sequence[int], found: Distribution) -> str:
    place = max(range(len(counts)), key=counts.__getitem__)
    step = (found.high - found.low) / len(counts)
    low = found.low + place * step
    return f"{percent(counts[place], sum(counts))} are from {low:.4g} to {low + step:.4g}"
