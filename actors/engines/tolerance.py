"""Limits on the distance of an engine's answers from those of the reference. Used where engines are compared."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from actors.errors import JobError
from actors.field_types import coerce_fields


@dataclass
class Tolerance:
    """Config node ``engine.tolerance``. Each task uses the limits that apply to its answers. The defaults lie between
    the error of correct bf16 and that of a broken network; tests/actors/tasks/test_parity.py shows both.
    """

    score_difference: float = 0.1
    """task=classify: the largest difference of any score of any image. task=detect: of any box."""
    mean_score_difference: float = 0.01
    """task=classify: the mean difference over all images, for the reference's best class. task=detect: over all
    boxes."""
    tie_margin: float = 0.1
    """task=classify: the best class may differ only if the reference's first score leads by no more than this."""
    flip_ratio: float = 0.01
    """task=classify: the share of images, rounded up, whose best class may differ at such near ties. task=raw: the
    share of integers that may differ."""
    cosine: float = 0.995
    """task=embed: the smallest cosine between the two vectors of any image."""
    relative_error: float = 0.1
    """task=raw: norm of the difference over the norm of the reference, for any image and output."""
    box_iou: float = 0.9
    """task=detect: the smallest overlap, as intersection over union, of two boxes that count as the same."""
    unmatched_ratio: float = 0.02
    """task=detect: the share of boxes, rounded up, that may be missing from the other engine's answers."""
    pixel_agreement: float = 0.98
    """task=segment: the smallest share of pixels, over all images, whose classes are equal. Pixels where the
    reference's class leads by no more than tie_margin do not count."""
    output_error: float = 0.15
    """Every task: norm of the difference of two outputs, before they become scores, over the distance between the
    outputs of different images; for any image, and with task=classify for any class."""

    def __post_init__(self) -> None:
        coerce_fields(self, "engine.tolerance")

    @property
    def is_widened(self) -> bool:
        """True if any limit allows more than its default."""
        usual = Tolerance()
        names = {limit.name for limit in fields(self)}
        return any(getattr(self, name) < getattr(usual, name) for name in _LEAST) or any(
            getattr(self, name) > getattr(usual, name) for name in names - _LEAST
        )


_LEAST = {"cosine", "box_iou", "pixel_agreement"}  # lower limits

EXACT = Tolerance(
    score_difference=1e-3,
    mean_score_difference=1e-3,
    tie_margin=1e-3,
    flip_ratio=1e-3,
    cosine=1 - 1e-6,  # a relative error of 1e-3 costs half its square
    relative_error=1e-3,
    box_iou=0.999,
    unmatched_ratio=1e-3,
    pixel_agreement=0.999,
    output_error=1e-3,
)
"""``engine.tolerance=exact``: equal to fp32 except for rounding."""


def to_tolerance(value: Any, key: str = "engine.tolerance") -> Tolerance:
    """Parses a tolerance: a `Tolerance`, or the word ``exact``. Raises `JobError` for anything else."""
    if value == "exact":
        return EXACT
    if not isinstance(value, Tolerance):
        raise JobError(
            f"{key}={value}: neither exact nor a set of limits",
            fix=f"write {key}=exact, or single limits such as {key}.score_difference=0.05",
        )
    for limit in fields(value):
        number = getattr(value, limit.name)
        if not 0 <= number <= 1:
            raise JobError(
                f"{key}.{limit.name}={number}: not from 0 to 1",
                fix="give a number from 0 to 1, or omit it",
            )
    return value
