"""What a model is rebuilt from: in workers, trials, benchmarks and Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.engines.configs import EngineConfig
    from actors.models.spec import Model
    from actors.tasks.base import Task


@dataclass(frozen=True)
class Recipe:
    """What each actor rebuilds its predictor from."""

    model: Model
    engine: EngineConfig
    task: Task
