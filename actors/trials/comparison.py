"""Holds an engine's answers against those of the reference engine. Runs in a worker."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.recipe import Agree, Outputs


@dataclass(frozen=True)
class Answers:
    """What an engine says of a sample."""

    outputs: Outputs
    """Every output for each image of `rows`."""
    rows: np.ndarray
    """The images that it has answers for, by their places in the sample, ascending."""


@dataclass(frozen=True)
class Trial:
    """One engine, for the report."""

    engine: str
    """Its `EngineConfig.label`."""
    images_per_s: float = 0.0
    """Of one worker, in full batches, pixels in memory to outputs in memory."""
    load_s: float = 0.0
    """Seconds until it was ready."""
    figures: dict[str, float] = field(default_factory=dict)
    """How far its answers are from those of the reference; see `actors.tasks.parity.Agreement`."""
    breaches: list[str] = field(default_factory=list)
    """Why it may not be taken; empty where it may."""

    def __str__(self) -> str:
        figures = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in self.figures.items()]
        refused = [f"refused: {self.breaches[0]}"] if self.breaches else []
        return ", ".join([f"{self.engine} {self.images_per_s:,.1f} images/s", *figures, *refused])


def hold_against(right: Answers, trial: Trial, answers: Answers, agree: Agree, uris: Sequence[str]) -> Trial:
    """``trial`` with what ``agree`` finds of its ``answers`` for the images of ``right``; ``uris`` names the sample."""
    places = np.flatnonzero(np.isin(answers.rows, right.rows, assume_unique=True))
    num_missing = len(right.rows) - len(places)
    if num_missing:
        return replace(trial, breaches=[f"fails on {num_missing} images that the reference can do"])
    outputs = {name: values[places] for name, values in answers.outputs.items()}
    agreement = agree(right.outputs, outputs).naming([uris[row] for row in right.rows])
    return replace(trial, figures=agreement.figures, breaches=agreement.breaches)
