"""Compares an engine's outputs with the reference engine's. Runs in a worker."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.recipe import Agree, Outputs


@dataclass(frozen=True)
class Answers:
    """Outputs of an engine on a sample."""

    outputs: Outputs
    """Every output, with one entry per image of `rows`."""
    rows: np.ndarray
    """Ascending positions in the sample of the images with an output."""


@dataclass(frozen=True)
class Trial:
    """One engine on trial, for the report."""

    engine: str
    """Its `EngineConfig.label`."""
    images_per_s: float = 0.0
    """Rate of one worker in full batches, from pixels in memory to outputs in memory."""
    figures: dict[str, float] = field(default_factory=dict)
    """Distance of its outputs from the reference's; see `actors.tasks.parity.Agreement`."""
    breaches: list[str] = field(default_factory=list)
    """Reasons not to use it; empty if it agrees."""

    def __str__(self) -> str:
        figures = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in self.figures.items()]
        refused = [f"refused: {self.breaches[0]}"] if self.breaches else []
        return ", ".join([f"{self.engine} {self.images_per_s:,.1f} images/s", *figures, *refused])


def compare(right: Answers, trial: Trial, answers: Answers, agree: Agree, uris: Sequence[str]) -> Trial:
    """Completes ``trial`` with the agreement of its ``answers`` with ``right``; ``uris`` lists the sample's images."""
    places = np.flatnonzero(np.isin(answers.rows, right.rows, assume_unique=True))
    num_missing = len(right.rows) - len(places)
    if num_missing:
        return replace(trial, breaches=[f"fails on {num_missing} images on which the reference succeeds"])
    outputs = {name: values[places] for name, values in answers.outputs.items()}
    agreement = agree(right.outputs, outputs).naming([uris[row] for row in right.rows])
    return replace(trial, figures=agreement.figures, breaches=agreement.breaches)
