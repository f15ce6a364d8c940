"""How far the answers of an engine may be from those of the reference. The driver's config, used where engines are
compared.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from actors.errors import JobError
from actors.field_types import coerce_fields


@dataclass
class Tolerance:
    """Config node ``engine.tolerance``. Each task uses what fits its answers. The defaults lie between what sound bf16
    does to an answer and what a broken network does; tests/actors/tasks/test_parity.py shows both.
    """

    score_difference: float = 0.1
    """task=classify: the most that a score of any class of any image may differ."""
    mean_score_difference: float = 0.01
    """task=classify: the same on average over all images, of the class that is the reference's best."""
    tie_margin: float = 0.1
    """task=classify: the best class may be another one only where the reference's first score leads by no more."""
    flip_ratio: float = 0.01
    """task=classify: the share of images, rounded up to whole ones, whose best class may be another one at such near
    ties. task=raw: the share of whole numbers that may be other ones."""
    cosine: float = 0.995
    """task=embed: the least cosine between the two vectors of any image."""
    relative_error: float = 0.1
    """task=raw: length of the difference of the two tensors over that of the reference's, for any image and output."""
    output_error: float = 0.15
    """Every task: length of the difference of two outputs, before they become scores, over how far those of different
    images lie apart; for any image, and with task=classify for any class too."""

    def __post_init__(self) -> None:
        coerce_fields(self, "engine.tolerance")


EXACT = Tolerance(
    score_difference=1e-3,
    mean_score_difference=1e-3,
    tie_margin=1e-3,
    flip_ratio=1e-3,
    cosine=1 - 1e-6,
    relative_error=1e-3,
    output_error=1e-3,
)
"""``engine.tolerance=exact``: what equals fp32 but for rounding."""


def to_tolerance(value: Any) -> Tolerance:
    """The tolerance that the config means: a `Tolerance`, or the word ``exact``. Raises `JobError` for all else."""
    if value == "exact":
        return EXACT
    if not isinstance(value, Tolerance):
        raise JobError(
            f"engine.tolerance={value}: neither exact nor a set of limits",
            cure="write engine.tolerance=exact, or single limits such as engine.tolerance.score_difference=0.05",
        )
    for limit in fields(value):
        number = getattr(value, limit.name)
        if not 0 <= number <= 1:
            raise JobError(
                f"engine.tolerance.{limit.name}={number}: not from 0 to 1",
                cure="give a number from 0 to 1, or leave it away",
            )
    return value
