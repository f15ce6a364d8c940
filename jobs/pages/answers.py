"""The predictions section: labels, objects or pixels by class, and the histogram of scores, from counters in the
receipts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from actors.tasks import label_counts
from actors.tasks.detection import counts as object_counts
from actors.tasks.score_counts import SCORES
from actors.tasks.segmentation import counts as pixel_counts
from jobs.pages.charts import Chart, column_chart
from jobs.pages.wording import percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.pages.facts import RunFacts


class Bar(NamedTuple):
    """A row of a table with bars; ``width`` is a percentage of the longest, and 0 for the sum of the other rows."""

    name: str
    number: int
    percent: str
    width: float


@dataclass(frozen=True)
class Distribution:
    """Numbers by class, the most frequent first."""

    title: str
    unit: str
    bars: Sequence[Bar] = field(default=())
    note: str = ""


class _Kind(NamedTuple):
    prefix: str
    others: str
    title: str
    unit: str


_KINDS = (
    _Kind(label_counts.LABELS, label_counts.OTHERS, "Images by predicted label", "images"),
    _Kind(object_counts.OBJECTS, object_counts.OTHERS, "Objects by class", "objects"),
    _Kind(pixel_counts.PIXELS, pixel_counts.OTHERS, "Pixels by class", "pixels"),
)


def distribution(facts: RunFacts) -> Distribution | None:
    """Returns the numbers of the first kind that the task counts; None if there is none."""
    counters = facts.counters
    for kind in _KINDS:
        by_name = {
            name.removeprefix(kind.prefix): number for name, number in counters.items() if name.startswith(kind.prefix)
        }
        if by_name:
            return _distribution(kind, by_name, counters.get(kind.others, 0))
    return None


def score_histogram(facts: RunFacts) -> Chart | None:
    """Returns the histogram of scores in tenths; None if the task counts none."""
    numbers = [facts.counters.get(f"{SCORES}{tenth / 10:.2f}", 0) for tenth in range(10)]
    total = sum(numbers)
    if not total:
        return None
    unit = "objects" if object_counts.IMAGES in facts.counters else "images"
    named = ", ".join(f"from {tenth / 10:.1f} {percent(own, total)}" for tenth, own in enumerate(numbers) if own)
    return column_chart(numbers, "Scores", f"Scores of {total:,} {unit}: {named}", labels=("score", unit))


def _distribution(kind: _Kind, by_name: Mapping[str, int], num_others: int) -> Distribution:
    ordered = sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
    first, rest = ordered[:_MAX_BARS], ordered[_MAX_BARS:]
    num_rest = num_others + sum(number for _, number in rest)
    total, longest = sum(by_name.values()) + num_others, first[0][1]
    bars = [Bar(name, number, percent(number, total), number / longest * 100) for name, number in first]
    if num_rest:
        name = f"{len(rest):,} other labels" if rest and not num_others else "all others"
        bars.append(Bar(name, num_rest, percent(num_rest, total), 0.0))
    note = f"{total:,} {kind.unit}, {len(ordered):,}{' or more' if num_others else ''} labels"
    return Distribution(kind.title, kind.unit, bars, note)


_MAX_BARS = 20
