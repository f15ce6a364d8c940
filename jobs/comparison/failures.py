"""Counts images that failed in a run, or are in only one run. Runs on the driver."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.comparison.answers import Match
from jobs.comparison.flips import NUM_EXAMPLES
from jobs.comparison.outcomes import SIDES, UNMATCHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.comparison.outcomes import Outcomes

Kind = tuple[str, str]
"""Stage and error, as in error rows."""


@dataclass
class Failures:
    """Numbers of images by failure."""

    new: Counter[Kind] = field(default_factory=Counter)
    """Images with an answer in run A that failed in run B."""
    lost: Counter[Kind] = field(default_factory=Counter)
    """Images that failed in run A, with an answer in run B."""
    num_both: int = 0
    """Images that failed in both runs."""
    num_changed: int = 0
    """Images in `num_both` that failed for different reasons."""
    examples: dict[tuple[str, Kind], Sequence[Match]] = field(default_factory=dict)
    """Images by kind, under ``new`` or ``lost``."""
    alone: dict[str, tuple[int, int]] = field(default_factory=dict)
    """For ``a`` and ``b``: images only in this run, with an answer and failed."""

    @property
    def num_new(self) -> int:
        return self.new.total()

    @property
    def num_lost(self) -> int:
        return self.lost.total()


def failures(outcomes: Outcomes) -> Failures:
    """Counts the failures of matched images by kind, and the images without a match."""
    found = Failures()
    for stage_a, error_a, stage_b, error_b, num, first in outcomes.query(_BY_KIND):
        if error_a is not None and error_b is not None:
            found.num_both += num
            found.num_changed += num if (stage_a, error_a) != (stage_b, error_b) else 0
            continue
        name, kind = ("new", (stage_b, error_b)) if error_a is None else ("lost", (stage_a, error_a))
        getattr(found, name)[kind] += num
        found.examples[name, kind] = [Match(one["a"], one["b"]) for one in first]
    for side in SIDES:
        (counts,) = outcomes.query(_ALONE.format(unmatched=UNMATCHED.format(side=side)))
        found.alone[side] = counts[0], counts[1]
    return found


_BY_KIND = f"""
    SELECT a.stage, a.error, b.stage, b.error, count(*), min_by({{a: a.number, b: b.number}}, a.number, {NUM_EXAMPLES})
    FROM matches JOIN a ON a.number = matches.a JOIN b ON b.number = matches.b
    WHERE a.error IS NOT NULL OR b.error IS NOT NULL GROUP BY ALL ORDER BY ALL
"""
_ALONE = "SELECT count(*) FILTER (error IS NULL), count(*) FILTER (error IS NOT NULL) FROM {unmatched}"
