"""The section on the training whose checkpoints `jobs.follow` evaluates: their scores, and the place of this run among
them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.pages.charts import Chart, score_chart
from jobs.pages.wording import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.pages.facts import RunFacts


@dataclass(frozen=True)
class Training:
    """Content of the section."""

    chart: Chart
    place: str
    """The score of this run, and how it compares with the best one."""
    link: str = "../../follow/curve.html"
    """The page of all checkpoints, from the folder of the run."""


def training(facts: RunFacts) -> Training | None:
    """None if the run is not one of a training, or has not the score that decides."""
    if facts.followed is None:
        return None
    score, best = str(facts.followed.best.get("score")), facts.followed.best.get("run_id")
    scored = [row for row in facts.followed.rows if _value(row, score) is not None]
    rows = sorted(scored, key=lambda row: str(row.get("modified_at")))
    places = [place for place, row in enumerate(rows) if row.get("run_id") == facts.paths.run_id]
    if not places:
        return None
    place, values = places[0], [_value(row, score) or 0.0 for row in rows]
    own = f"Checkpoint {place + 1} of {len(rows)}: {score} {values[place]:.4g}"
    whose = [value for row, value in zip(rows, values, strict=True) if row.get("run_id") == best]
    than = ", the best one" if best == facts.paths.run_id else f"; the best one has {whose[0]:.4g}" if whose else ""
    text = ", ".join(f"{plain(row.get('name'))} {value:.4g}" for row, value in zip(rows, values, strict=True))
    chart = score_chart(values, place, "Scores of the checkpoints", text, labels=("checkpoint", score))
    return Training(chart, f"{own}{than}")


def _value(row: Mapping[str, Any], score: str) -> float | None:
    metrics = row.get("metrics")
    value = metrics.get(score) if isinstance(metrics, dict) else None
    return value if isinstance(value, int | float) and math.isfinite(value) else None
