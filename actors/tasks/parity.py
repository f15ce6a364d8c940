"""Comparison of an engine's answers with the reference's on the same images; each task chooses its figures. Runs where
engines are compared, before the first image of a run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from actors.engines.tolerance import Tolerance


@dataclass(frozen=True)
class Agreement:
    """Outcome of a comparison; serialisable as JSON."""

    figures: dict[str, float] = field(default_factory=dict)
    """Figures by name, all finite; ``images`` is the number of images compared."""
    breaches: list[str] = field(default_factory=list)
    """One sentence for each limit exceeded: the figure, the position of the worst image from 0, as in ``image 17``, and
    the limit. Empty if the answers agree.
    """

    def naming(self, images: Sequence[str]) -> Agreement:
        """Replaces the positions of images by their names in ``images``."""
        breaches = [_POSITION.sub(lambda found: images[int(found[1])], breach) for breach in self.breaches]
        return Agreement(self.figures, breaches)


_POSITION = re.compile(r"\bimage (\d+)\b")


class Comparison:
    """Builds an `Agreement` figure by figure."""

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self._figures: dict[str, float] = {}
        self._breaches: list[str] = []

    @property
    def result(self) -> Agreement:
        return Agreement(self._figures, self._breaches)

    def has_outputs(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], names: Iterable[str]
    ) -> bool:
        """Returns True if the outputs can be compared; adds a breach for each that cannot."""
        num_before = len(self._breaches)
        for name in names:
            wanted, given = reference[name], candidate.get(name)
            if given is None:
                self.breach(f"output {name} is missing")
            elif given.shape != wanted.shape:
                self.breach(f"output {name} has shape {given.shape}, where the reference's has {wanted.shape}")
            elif given.dtype.kind != wanted.dtype.kind:
                self.breach(f"output {name} is {given.dtype}, where the reference's is {wanted.dtype}")
        return len(self._breaches) == num_before

    def finite(self, output: str, reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """Returns the positions, int (m,), of images with an answer in both, given two bool arrays (n,) that mark
        answers.

        Adds a breach for images with an answer in only one, and if there is nothing to compare.
        """
        lost, gained = np.flatnonzero(reference & ~candidate), np.flatnonzero(candidate & ~reference)
        for places, seen in ((lost, "values that are not finite"), (gained, "finite values")):
            if len(places):
                others = f" and {len(places) - 1} others" if len(places) > 1 else ""
                self.breach(f"output {output} has {seen} for image {places[0]}{others}, unlike the reference's")
        both = np.flatnonzero(reference & candidate)
        self._figures["images"] = min(float(len(both)), self._figures.get("images", np.inf))
        if not len(both):
            self.breach(
                f"output {output} leaves nothing to compare: it is not finite for any of {len(reference)} images"
            )
        return both

    def at_most(self, figure: str, value: float, message: str, *, limit: str | None = None) -> None:
        """Records ``value``, and ``message`` as a breach if it exceeds ``limit``, a field of the tolerance that
        defaults to the figure's name. If several outputs have the figure, the highest is kept.
        """
        self._figures[figure] = max(float(value), self._figures.get(figure, 0.0))
        name = limit or figure
        self._require(bool(value <= getattr(self._tolerance, name)), message, name)  # NaN is also a breach

    def at_least(self, figure: str, value: float, message: str) -> None:
        """Records a figure that must not fall below its limit. If several outputs have it, the lowest is kept."""
        self._figures[figure] = min(float(value), self._figures.get(figure, np.inf))
        self._require(bool(value >= getattr(self._tolerance, figure)), message, figure)

    def flips(self, figure: str, num_flips: int, num_all: int, message: str) -> None:
        """Records the share that agrees, the lowest if several outputs have one, and ``message`` as a breach if more
        than ``flip_ratio`` of all, rounded up to a whole number, differ.
        """
        self._figures[figure] = min(1 - num_flips / num_all, self._figures.get(figure, 1.0))
        num_allowed = ceil(round(self._tolerance.flip_ratio * num_all, 6))  # as floats, 0.07 * 100 > 7
        self._require(num_flips <= num_allowed, message, "flip_ratio")

    def note(self, figure: str, value: float) -> None:
        """Records a figure without a limit of its own."""
        self._figures[figure] = float(value)

    def breach(self, message: str) -> None:
        self._breaches.append(message)

    def _require(self, holds: bool, message: str, limit: str) -> None:  # noqa: FBT001  the outcome itself
        if not holds:
            self.breach(f"{message} (engine.tolerance.{limit}={getattr(self._tolerance, limit):g})")


def differences(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Returns the Euclidean length, float64 (n,), of the difference between each image's two answers."""
    pairs = zip(
        reference, candidate, strict=True
    )  # one image at a time: feature maps of all in float64 take too much memory
    return np.array([_length(np.subtract(wanted, given, dtype=np.float64)) for wanted, given in pairs])


def lengths(reference: np.ndarray) -> np.ndarray:
    """Returns the Euclidean length, float64 (n,), of each image's answer."""
    return np.array([_length(wanted) for wanted in reference])


def spread(reference: np.ndarray) -> float:
    """Returns the spread of the answers for n >= 1 images: the root mean square length of their differences from the
    mean.

    Only this part distinguishes images, so errors are measured against it: any error looks small next to a large vector
    that is common to all images, as with random weights. Copies of a single image have no spread; then the length of
    the answers replaces it.
    """
    mean = reference.mean(axis=0, dtype=np.float64)
    apart = np.array([_length(wanted - mean) for wanted in reference])
    between = float(np.sqrt(np.square(apart).sum() / max(1, len(apart) - 1)))
    length = float(np.sqrt(np.square(lengths(reference)).mean()))
    return length if between <= _ROUNDING * length else max(between, _LEAST_SPREAD * length)


# Relative to the length of an answer: fp32 rounding, and the smallest spread that stands out from such errors.
_ROUNDING = 1e-5
_LEAST_SPREAD = 5e-3


def ratios(errors: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
    """Returns ``errors`` divided by ``scale``; 0 divided by 0 is 0."""
    return errors / np.maximum(scale, np.finfo(np.float32).tiny)


def _length(answer: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(answer, np.float64).ravel()))
