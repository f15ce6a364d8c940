"""What was run, for the report. Made on the driver."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.tracking.progress_counts import Pace
    from jobs.planning.engine_cache import Choice
    from jobs.planning.planner import Plan


@dataclass(frozen=True)
class Execution:
    """What was run."""

    plan: Plan
    choice: Choice
    """The engine, and how it was chosen."""
    engine: Mapping[str, str]
    """What executed the model, as the actors said."""
    pace: Pace
    """How fast images came, starts aside."""
    cpus: float
    """Of the cluster."""

    def to_json(self) -> dict[str, Any]:
        pace = {**self.pace._asdict(), "images_per_s": self.pace.images_per_s}
        about = {"plan": asdict(self.plan), "choice": self.choice.to_json(), "engine": dict(self.engine)}
        return {**about, "pace": pace, "cpus": self.cpus}
