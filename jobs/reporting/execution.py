"""Plan, engine and pace of a run, for the report. Created on the driver."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.reporting.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.tracking.progress_counts import Pace
    from jobs.planning.engine_cache import Choice
    from jobs.planning.planner import Plan


@dataclass(frozen=True)
class Execution:
    """Plan, engine and pace of a run."""

    plan: Plan
    choice: Choice
    """Engine, and the reason for its choice."""
    engine: Mapping[str, str]
    """Provenance of the engine, as the actors reported it."""
    pace: Pace
    """Images and seconds without start-up."""
    cpus: float
    """CPUs of the cluster."""
    timeline: Timeline = field(default_factory=Timeline)
    """Images done over time, from the start of the first pass."""

    def to_json(self) -> dict[str, Any]:
        pace = {**self.pace._asdict(), "images_per_s": self.pace.images_per_s}
        about = {"plan": asdict(self.plan), "choice": self.choice.to_json(), "engine": dict(self.engine)}
        return {**about, "pace": pace, "cpus": self.cpus, "timeline": self.timeline.points}
