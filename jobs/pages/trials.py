"""The engine section: the trials before the run, and the reason for the choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.pages.facts import RunFacts


class TrialRow(NamedTuple):
    """One engine on trial."""

    engine: str
    images_per_s: float
    agreement: str
    """Distance of its predictions from the reference's."""
    result: str
    is_chosen: bool


class EngineChoice(NamedTuple):
    """Content of the section."""

    engine: str
    why: str
    trials: Sequence[TrialRow]
    num_images: int
    """Number of images compared."""


def engine_choice(facts: RunFacts) -> EngineChoice | None:
    """Returns the section; None if no command of the run used an engine."""
    execution = facts.report.get("execution")
    if execution is None:
        return None
    choice, used = execution["choice"], execution.get("engine", {})
    engine = " ".join(str(used[name]) for name in ("engine", "precision") if name in used)
    trials = [_row(trial, engine, is_first=not place) for place, trial in enumerate(choice["trials"])]
    return EngineChoice(engine or choice["engine"]["name"], choice["why"], trials, choice["num_images"])


def _row(trial: Mapping[str, Any], engine: str, *, is_first: bool) -> TrialRow:
    is_chosen = trial["engine"] == engine
    figures = [f"{name.replace('_', ' ')} {value:.3g}" for name, value in trial["figures"].items()]
    refused = f"refused: {trial['breaches'][0]}" if trial["breaches"] else ""
    result = refused or ("chosen" if is_chosen else "") or ("agrees" if figures else "")
    agreement = ", ".join(figures) or ("the reference" if is_first else "")
    return TrialRow(trial["engine"], trial["images_per_s"], agreement, result, is_chosen)
