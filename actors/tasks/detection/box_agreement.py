"""Agreement of two engines on the boxes of a detector. Runs where engines are compared."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from actors.tasks.parity import Comparison, differences, ratios, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.engines.tolerance import Tolerance
    from actors.tasks.detection.candidates import Candidates
    from actors.tasks.detection.head import Head
    from actors.tasks.parity import Agreement

    Answers = Mapping[str, np.ndarray]


def compare_boxes(
    head: Head,
    best: Callable[[Head, Candidates], Candidates],
    both: tuple[Answers, Answers],
    threshold: float,
    tolerance: Tolerance,
) -> Agreement:
    """Compares the boxes in the outputs of a reference and a candidate, and, if positions can be compared, the raw
    numbers.

    Args:
        head: reads the outputs.
        best: applies suppression.
        both: outputs of the reference and the candidate for the same images.
        threshold: the minimum score of a box.
        tolerance: the limits.
    """
    comparison = Comparison(tolerance)
    if not comparison.has_outputs(*both, list(both[0])):
        return comparison.result
    # Overlaps do not depend on the unit.
    lower = max(threshold - tolerance.score_difference, _LEAST_SCORE)
    proposed = [head.candidates(tensors, (1, 1), threshold=lower) for tensors in both]
    output = next(iter(both[0]))
    places = comparison.finite(output, *(found.valid for found in proposed))
    if not len(places):
        return comparison.result
    parts = [head.parts(tensors) for tensors in both]
    for name, wanted in parts[0].items():
        _compare_part(comparison, f"{output}, {name},", places, wanted[places], parts[1][name][places])
    shown = [_of(best(head, found.take(found.scores >= threshold)), places) for found in proposed]
    num_boxes = sum(map(len, shown))
    comparison.note("boxes", num_boxes)
    if num_boxes:
        _compare_shown(comparison, shown, [_of(found, places) for found in proposed], tolerance)
    elif not parts[0]:
        comparison.breach(
            f"output {output} leaves nothing to compare: no image has a box with a score of {threshold:g}"
        )
    return comparison.result


_LEAST_SCORE = 1e-6  # lower scores are positions without a box


def _of(found: Candidates, places: np.ndarray) -> Candidates:
    return found.take(np.isin(found.images, places))


def _compare_part(comparison: Comparison, name: str, places: np.ndarray, wanted: np.ndarray, given: np.ndarray) -> None:
    errors = ratios(differences(wanted, given), spread(wanted))
    message = (
        f"output {name} of image {places[errors.argmax()]} is off by {errors.max():.3g} of the spread between images"
    )
    comparison.at_most("output_error", errors.max(), message)


def _compare_shown(
    comparison: Comparison, shown: list[Candidates], proposed: list[Candidates], tolerance: Tolerance
) -> None:
    """Searches for each box shown by either engine among the boxes that the other proposes."""
    errors, overlaps, lonely = [], [], []
    for mine, other in zip(shown, reversed(proposed), strict=True):
        error, overlap = _partners(mine, other, tolerance.box_iou)
        is_lonely = overlap < tolerance.box_iou
        errors.append(error[~is_lonely])
        overlaps.append(overlap)
        lonely.append(mine.images[is_lonely])
    num_boxes, alone = sum(map(len, overlaps)), np.concatenate(lonely)
    comparison.note("unmatched_ratio", len(alone) / num_boxes)
    comparison.note("mean_box_iou", np.concatenate(overlaps).mean())
    if len(alone) > ceil(round(tolerance.unmatched_ratio * num_boxes, 6)):
        comparison.breach(
            f"{len(alone)} of {num_boxes} boxes, the first in image {alone[0]}, have no partner of their class with an "
            f"overlap of {tolerance.box_iou:g} (engine.tolerance.unmatched_ratio={tolerance.unmatched_ratio:g})"
        )
    if matched := np.concatenate(errors).tolist():
        worst, mean = max(matched), float(np.mean(matched))
        comparison.at_most("score_difference", worst, f"the score of a box differs by {worst:.3g}")
        comparison.at_most("mean_score_difference", mean, f"the scores of boxes differ by {mean:.3g} on average")


def _partners(mine: Candidates, other: Candidates, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Compares each box of ``mine`` with the boxes of ``other`` of its image and class: returns the smallest score
    difference of those that overlap it by ``least``, infinite if there are none, and the largest overlap.
    """
    errors, overlaps = np.full(len(mine), np.inf), np.zeros(len(mine))
    for place, (image, label_id, box) in enumerate(zip(mine.images, mine.label_ids, mine.boxes_xyxy, strict=True)):
        first, last = np.searchsorted(other.images, [image, image + 1])
        of_class = first + np.flatnonzero(other.label_ids[first:last] == label_id)
        if len(of_class):
            found = ious(box, other.boxes_xyxy[of_class])
            near = of_class[found >= least]
            overlaps[place] = found.max()
            errors[place] = np.abs(other.scores[near] - mine.scores[place]).min(initial=np.inf)
    return errors, overlaps


def ious(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of ``box`` with each of ``boxes``, float64; 0 if there is no area."""
    box, boxes = box.astype(np.float64), boxes.astype(np.float64)
    both = (np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])).clip(0).prod(axis=1)
    either = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - both
    return ratios(both, either)
