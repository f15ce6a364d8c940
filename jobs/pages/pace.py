"""The speed section: throughput over time, the share of each stage and phase, and the distance from the limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from jobs.pages.charts import Chart, line_chart
from jobs.pages.wording import duration, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.pages.facts import RunFacts


class Share(NamedTuple):
    """A part of a stacked bar. ``stage`` selects its colour: 1 to 6, good or bad."""

    name: str
    share: float
    value: str
    stage: str


@dataclass(frozen=True)
class Pace:
    """Content of the section."""

    verdict: str
    throughput: Chart | None
    stages: Sequence[Share]
    limit: Sequence[Share]
    phases: Sequence[Share]
    advice: Sequence[str] = field(default=())


def pace(facts: RunFacts) -> Pace | None:
    """Returns the section; None if no command has measured anything, for example if there was nothing to do."""
    report = facts.report
    verdict = report.get("verdict")
    throughput, phases = _throughput(report), _phases(report.get("elapsed_s", {}))
    if verdict is None:
        return Pace("", throughput, [], [], phases) if facts.num_listed and phases else None
    stages = [
        Share(name, share, percent(share), str(place))
        for place, (name, share) in enumerate(verdict["shares"].items(), 1)
    ]
    advice = [_advice(one) for one in verdict["advice"]]
    bound = f"Speed was limited by {verdict['bound_by']}"
    limit = f"the stages alone could reach {verdict['limit_images_per_s']:,.0f} images/s."
    return Pace(f"{bound}; {limit}", throughput, stages, _limit(verdict["share_of_limit"]), phases, advice)


def rates(points: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Returns images per second between points of time and images done, each at the end of its interval; the first one
    at the start.
    """
    found = [
        (later[0], (later[1] - earlier[1]) / (later[0] - earlier[0]))
        for earlier, later in pairwise(points)
        if later[0] > earlier[0]
    ]
    return [(points[0][0], found[0][1]), *found] if found else []


def thinned(points: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """Returns at most 25 of ``points``, evenly spaced by index, from the first to the last."""
    count = min(len(points), _MAX_POINTS + 1)
    return [points[place * (len(points) - 1) // max(1, count - 1)] for place in range(count)]


def _throughput(report: Mapping[str, Any]) -> Chart | None:
    timeline = (report.get("execution") or {}).get("timeline") or []
    points = rates(thinned(timeline))
    if len(points) < _MIN_POINTS:
        return None
    highest, total = max(rate for _, rate in points), points[-1][0]
    unit, name = next((unit, name) for unit, name in _UNITS if total <= _MAX_UNITS * unit or name == "hours")
    text = f"Images per second over {duration(total)}: at most {highest:,.0f}, at the end {points[-1][1]:,.0f}"
    scaled = [(seconds / unit, rate) for seconds, rate in points]
    return line_chart(scaled, "Throughput", text, labels=(f"{name} since the workers started", "images/s"))


def _limit(share: float | None) -> list[Share]:
    if share is None:
        return []
    return [Share("reached", share, percent(share), "good"), Share("left", 1 - share, percent(1 - share), "6")]


def _phases(elapsed_s: Mapping[str, float]) -> list[Share]:
    total = elapsed_s.get("total", 0.0)
    phases = [
        (name, seconds) for name, seconds in elapsed_s.items() if name != "total" and seconds > total * _MIN_SHARE
    ]
    return [
        Share(_PHASES.get(name, name), seconds / total, duration(seconds), str(place % 6 + 1))
        for place, (name, seconds) in enumerate(phases)
    ]


def _advice(one: Mapping[str, Any]) -> str:
    speedup = one.get("speedup")
    return one["what"] if speedup is None else f"{one['what']}: {speedup:.1f} times as fast"


_MIN_POINTS, _MAX_POINTS = 3, 24  # batches end in bursts, and shorter intervals would show only those
_UNITS, _MAX_UNITS = ((1, "seconds"), (60, "minutes"), (3600, "hours")), 300
_MIN_SHARE = 0.001  # share of the command below which a phase is omitted
_PHASES = {
    "check": "checks",
    "list": "listing",
    "start": "starting Ray",
    "choose": "choosing the engine",
    "run": "prediction",
    "stop": "stopping Ray",
    "commit": "commit",
}
