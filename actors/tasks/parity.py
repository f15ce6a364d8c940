"""How far the answers of an engine are from those of the reference, on the same images; each task says what it holds
against a tolerance. Runs where engines are compared, before the first image of a run.
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
    """What came of a comparison; ready for JSON."""

    figures: dict[str, float] = field(default_factory=dict)
    """By name, all finite; ``images`` counts those that were compared."""
    breaches: list[str] = field(default_factory=list)
    """What does not hold, in words: the figure, the place of the worst image from 0, as in ``image 17``, and the
    limit.
    """

    def naming(self, images: Sequence[str]) -> Agreement:
        """The same with the names of the ``images`` that were compared instead of their places."""
        breaches = [_PLACE.sub(lambda place: images[int(place[1])], said) for said in self.breaches]
        return Agreement(self.figures, breaches)


_PLACE = re.compile(r"\bimage (\d+)\b")


class Comparison:
    """Gathers an `Agreement`, one figure after the other."""

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
        """Whether the outputs can be held against each other; a breach for each that cannot."""
        num_before = len(self._breaches)
        for name in names:
            wanted, given = reference[name], candidate.get(name)
            if given is None:
                self.breach(f"there is no output {name}")
            elif given.shape != wanted.shape:
                self.breach(f"output {name} has shape {given.shape}, where the reference's has {wanted.shape}")
            elif given.dtype.kind != wanted.dtype.kind:
                self.breach(f"output {name} is {given.dtype}, where the reference's is {wanted.dtype}")
        return len(self._breaches) == num_before

    def finite(self, output: str, reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """The places, int (m,), of the images with an answer in both, from two bool arrays (n,) that say which have.

        An image with an answer in one alone is a breach, and so is it when there is nothing to compare.
        """
        lost, gained = np.flatnonzero(reference & ~candidate), np.flatnonzero(candidate & ~reference)
        for places, seen in ((lost, "values that are not finite"), (gained, "finite values")):
            if len(places):
                others = f" and {len(places) - 1} others" if len(places) > 1 else ""
                self.breach(f"output {output} has {seen} for image {places[0]}{others}, unlike the reference's")
        both = np.flatnonzero(reference & candidate)
        self._figures["images"] = min(float(len(both)), self._figures.get("images", np.inf))
        if not len(both):
            self.breach(f"output {output} leaves nothing to compare: it is finite for none of {len(reference)} images")
        return both

    def at_most(self, figure: str, value: float, said: str, *, limit: str | None = None) -> None:
        """Notes ``value``, and what is ``said`` as a breach where it is above ``limit``, a field of the tolerance that
        has the figure's name when not given. Where several outputs have the figure, the highest is noted.
        """
        self._figures[figure] = max(float(value), self._figures.get(figure, 0.0))
        name = limit or figure
        self._hold(bool(value <= getattr(self._tolerance, name)), said, name)

    def at_least(self, figure: str, value: float, said: str) -> None:
        """The same for a figure that must not be below its limit."""
        self._figures[figure] = float(value)
        self._hold(bool(value >= getattr(self._tolerance, figure)), said, figure)

    def flips(self, figure: str, num_flips: int, num_all: int, said: str) -> None:
        """Notes the share that is alike, the lowest where several outputs have one, and what is ``said`` as a breach
        where more than ``flip_ratio``, rounded up to a whole number, are others.
        """
        self._figures[figure] = min(1 - num_flips / num_all, self._figures.get(figure, 1.0))
        num_allowed = ceil(round(self._tolerance.flip_ratio * num_all, 6))  # 0.07 times 100 is above 7
        self._hold(num_flips <= num_allowed, said, "flip_ratio")

    def note(self, figure: str, value: float) -> None:
        """A figure without a limit of its own."""
        self._figures[figure] = float(value)

    def breach(self, said: str) -> None:
        self._breaches.append(said)

    def _hold(self, holds: bool, said: str, limit: str) -> None:  # noqa: FBT001  the outcome itself
        if not holds:
            self.breach(f"{said} (engine.tolerance.{limit}={getattr(self._tolerance, limit):g})")


def differences(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Euclidean length, float64 (n,), of the difference of each image's answers."""
    pairs = zip(reference, candidate, strict=True)  # one image at a time: in float64, the maps of all are too large
    return np.array([_length(np.subtract(wanted, given, dtype=np.float64)) for wanted, given in pairs])


def lengths(reference: np.ndarray) -> np.ndarray:
    """Euclidean length, float64 (n,), of each image's answer."""
    return np.array([_length(wanted) for wanted in reference])


def spread(reference: np.ndarray) -> float:
    """How far answers, of n images from 1, lie apart: root mean square length of what is left without their mean.

    This part alone tells images apart, so errors count against it: beside a large vector that a network gives to every
    image, as one with random weights does, any error is small. Copies of one image do not show it, and their answers'
    own length must do.
    """
    mean = reference.mean(axis=0, dtype=np.float64)
    apart = np.array([_length(wanted - mean) for wanted in reference])
    between = float(np.sqrt(np.square(apart).sum() / max(1, len(apart) - 1)))
    length = float(np.sqrt(np.square(lengths(reference)).mean()))
    return length if between <= _ROUNDING * length else max(between, _LEAST_SPREAD * length)


# Of the length of an answer: what fp32 may round, and below what it could not be told from an error.
_ROUNDING = 1e-5
_LEAST_SPREAD = 5e-3


def ratios(errors: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
    """``errors`` over ``scale``, where no error over nothing is no error."""
    return errors / np.maximum(scale, np.finfo(np.float32).tiny)


def _length(answer: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(answer, np.float64).ravel()))
