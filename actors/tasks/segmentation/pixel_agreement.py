"""Agreement of two engines on pixel classes. Runs where engines are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.tasks.parity import Comparison, differences, ratios, spread
from actors.tasks.segmentation.class_maps import argmax

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.engines.tolerance import Tolerance
    from actors.tasks.parity import Agreement

    Answers = Mapping[str, np.ndarray]


def compare_logits(
    output: str, both: tuple[Answers, Answers], logits_of: Callable[[np.ndarray], np.ndarray], tolerance: Tolerance
) -> Agreement:
    """Compares logits (n, classes, h, w), and the classes of pixels where the reference's class leads clearly.

    Args:
        output: name of the logits.
        both: outputs of the reference and the candidate for the same images.
        logits_of: converts the logits of one image to those of at least two classes.
        tolerance: the limits; a class leads clearly by a probability of more than ``tie_margin``.
    """
    comparison = Comparison(tolerance)
    if not comparison.has_outputs(*both, [output]):
        return comparison.result
    wanted, given = (tensors[output] for tensors in both)
    places = comparison.finite(output, *(_finite(tensor) for tensor in (wanted, given)))
    if not len(places):
        return comparison.result
    errors = ratios(differences(wanted[places], given[places]), spread(wanted[places]))
    message = (
        f"output {output} of image {places[errors.argmax()]} is off by {errors.max():.3g} of the spread between images"
    )
    comparison.at_most("output_error", errors.max(), message)
    num_differing, num_clear = 0, 0
    for place in places:
        best, is_clear = _lead(logits_of(wanted[place]), tolerance.tie_margin)
        num_clear += int(is_clear.sum())
        num_differing += int((best != argmax(logits_of(given[place])))[is_clear].sum())
    comparison.note("clear_pixels", num_clear)
    _compare(comparison, output, num_differing, num_clear)
    return comparison.result


def compare_classes(output: str, both: tuple[Answers, Answers], tolerance: Tolerance) -> Agreement:
    """Compares class maps (n, h, w) or (n, 1, h, w), whose near ties cannot be recognised."""
    comparison = Comparison(tolerance)
    if not comparison.has_outputs(*both, [output]):
        return comparison.result
    wanted, given = (tensors[output] for tensors in both)
    places = comparison.finite(output, *(_finite(tensor) for tensor in (wanted, given)))
    if len(places):
        differs = wanted[places] != given[places]
        _compare(comparison, output, int(differs.sum()), differs.size)
    return comparison.result


def _finite(tensor: np.ndarray) -> np.ndarray:
    return np.array([np.isfinite(answer).all() for answer in tensor], bool)


def _compare(comparison: Comparison, output: str, num_differing: int, num_all: int) -> None:
    if num_all:
        message = f"output {output}: the classes of {num_differing} of {num_all} pixels differ"
        comparison.at_least("pixel_agreement", 1 - num_differing / num_all, message)


def _lead(logits_chw: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the best class of each pixel, and true if its probability leads by more than ``margin``."""
    best = argmax(logits_chw)[None].astype(np.intp)
    shares = np.exp(logits_chw - logits_chw.max(axis=0))
    total = shares.sum(axis=0)
    np.put_along_axis(shares, best, 0, axis=0)
    return best[0], (1 - shares.max(axis=0)) / total > margin
