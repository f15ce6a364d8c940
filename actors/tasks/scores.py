"""Class scores: their columns, best first, and the comparison of two engines' scores. Used by tasks that choose among
classes, in the predictor and where engines are compared.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.errors import JobError
from actors.tasks.parity import Comparison, differences, ratios, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.engines.tolerance import Tolerance
    from actors.tasks.parity import Agreement


class Activation(Enum):
    """Function that converts a model's outputs to scores."""

    softmax = "softmax"
    sigmoid = "sigmoid"
    none = "none"


SCORE_FIELDS = (
    pa.field("label_id", pa.int32()),
    pa.field("label", pa.string()),
    pa.field("score", pa.float32()),
    pa.field("top_label_ids", pa.list_(pa.int32())),
    pa.field("top_labels", pa.list_(pa.string())),
    pa.field("top_scores", pa.list_(pa.float32())),
)


CHOSEN_FIELDS = (
    pa.field("label_ids", pa.list_(pa.int32())),
    pa.field("labels", pa.list_(pa.string())),
    pa.field("scores", pa.list_(pa.float32())),
)


def check_threshold(threshold: float | None, activation: Activation) -> None:
    """Raises `JobError` if a threshold makes no sense for scores from this ``activation``."""
    if threshold is None:
        return
    if activation is Activation.softmax:
        raise JobError(
            f"task.threshold={threshold:g}: the scores are those of a softmax, where exactly one label is right",
            fix="omit it, or set task.activation=sigmoid for logits of independent classes, or none for their "
            "probabilities; task=zero_shot takes it with SigLIP models",
        )
    if not 0 < threshold < 1:
        raise JobError(f"task.threshold={threshold:g}: must be between 0 and 1", fix="the usual value is 0.5")


def activate(logits: np.ndarray, activation: Activation) -> np.ndarray:
    if activation is Activation.none:
        return logits
    with np.errstate(over="ignore", invalid="ignore"):  # the caller detects non-finite logits
        if activation is Activation.sigmoid:
            return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
        # The largest exponent is 0, so none overflows.
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)


def score_columns(scores: np.ndarray, labels: Sequence[str] | None, top_k: int) -> list[pa.Array]:
    """Returns the columns of `SCORE_FIELDS` for float32 scores (n, classes). Without labels, the class number is the
    name. For equal scores, the lower class comes first; NaN comes last.
    """
    top_ids = best(scores, min(top_k, scores.shape[1]))
    top_scores = np.take_along_axis(scores, top_ids, axis=1)
    # Only the names of the best classes are converted to Arrow: there may be 20,000 classes.
    top_labels = names_of(top_ids.ravel(), labels)
    k = top_ids.shape[1]
    return [
        pa.array(top_ids[:, 0]),
        top_labels[::k],
        pa.array(top_scores[:, 0]),
        _lists(pa.array(top_ids.ravel()), k),
        _lists(top_labels, k),
        _lists(pa.array(top_scores.ravel()), k),
    ]


def chosen_columns(scores: np.ndarray, labels: Sequence[str] | None, threshold: float) -> list[pa.Array]:
    """Returns the columns of `CHOSEN_FIELDS` for float32 scores (n, classes): all classes whose score is at least
    ``threshold``, if any, best first.
    """
    rows, ids = np.nonzero(scores >= threshold)
    chosen = scores[rows, ids]
    order = np.lexsort((ids, -chosen, rows))
    ids, chosen = ids[order].astype(np.int32), chosen[order]
    offsets = pa.array(np.searchsorted(rows, np.arange(len(scores) + 1)).astype(np.int32))
    return [
        pa.ListArray.from_arrays(offsets, values) for values in (pa.array(ids), names_of(ids, labels), pa.array(chosen))
    ]


def names_of(ids: np.ndarray, labels: Sequence[str] | None) -> pa.Array:
    """Returns the names of the classes with these numbers (n,)."""
    return pa.array([labels[label_id] if labels else str(label_id) for label_id in ids.tolist()], pa.string())


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Returns class numbers int32 (n, k) of the highest scores, best first; equal scores by lower class, NaN last."""
    falling = -scores
    least = np.partition(falling, k - 1, axis=1)[:, k - 1]
    best = np.empty((len(scores), k), np.int32)
    for row, limit, found in zip(falling, least, best, strict=True):
        tied_or_better = np.flatnonzero(~(row > limit))  # not <=, which NaN fails
        found[:] = tied_or_better[row[tied_or_better].argsort(kind="stable")[:k]]
    return best


def _lists(values: pa.Array, length: int) -> pa.Array:
    # int32 offsets are enough: a block holds far fewer than 2**31 scores.
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(values) + 1, length, dtype=np.int32)), values)


def compare_answers(
    output: str, reference: np.ndarray, candidate: np.ndarray, activation: Activation, tolerance: Tolerance
) -> Agreement:
    """Compares the float32 logits (n, classes) of two engines, called ``output`` in messages, and the resulting scores:
    if all scores are small, or all but one nearly 0, even a broken network hardly changes any score.
    """
    comparison, both = Comparison(tolerance), (reference, candidate)
    scores = [activate(logits, activation) for logits in both]
    places = comparison.finite(output, *(np.isfinite(one).all(axis=1) for one in scores))
    if len(places):
        # In float64: the differences are close to float32 rounding.
        _compare_scores(comparison, places, *(one[places].astype(np.float64) for one in scores))
        _compare_logits(comparison, places, *_comparable(both[0][places], both[1][places], activation))
    return comparison.result


def _compare_scores(comparison: Comparison, places: np.ndarray, wanted: np.ndarray, given: np.ndarray) -> None:
    """Compares float64 scores (n, classes) of the images at ``places``."""
    errors = np.abs(wanted - given)
    row, label_id = np.unravel_index(errors.argmax(), errors.shape)
    message = f"the score of class {label_id} of image {places[row]} differs by {errors.max():.3g}"
    comparison.at_most("score_difference", errors.max(), message)
    best = wanted.argmax(axis=1)
    mean = np.take_along_axis(errors, best[:, None], axis=1).mean()
    comparison.at_most("mean_score_difference", mean, f"the scores of the best classes differ by {mean:.3g} on average")
    flipped = np.flatnonzero(given.argmax(axis=1) != best)
    comparison.note("flips", len(flipped))
    message = f"the best class of {len(flipped)} of {len(best)} images differs"
    comparison.flips("top1_agreement", len(flipped), len(best), message)
    if len(flipped):
        first, second = np.sort(wanted[flipped], axis=1)[:, :-3:-1].T  # the two highest scores
        row, margin = (first - second).argmax(), (first - second).max()
        message = f"the best class of image {places[flipped[row]]} differs, where the reference leads by {margin:.3g}"
        comparison.at_most("largest_flip_margin", margin, message, limit="tie_margin")


def _comparable(wanted: np.ndarray, given: np.ndarray, activation: Activation) -> list[np.ndarray]:
    """Reduces logits to what determines the scores: drops classes that the reference masks with -inf, and, for softmax,
    the mean over classes.
    """
    known = np.isfinite(wanted).all(axis=0)
    both = [np.nan_to_num(logits[:, known]) for logits in (wanted, given)]
    if activation is not Activation.softmax or not known.any():
        return both
    return [logits - logits.mean(axis=1, keepdims=True, dtype=np.float64) for logits in both]


def _compare_logits(comparison: Comparison, places: np.ndarray, wanted: np.ndarray, given: np.ndarray) -> None:
    """Compares each image over all classes, and each class over all images: else one wrong class is lost among many."""
    num_images, num_classes = wanted.shape
    if not num_classes:
        return
    scale = spread(wanted)
    by_image = ratios(differences(wanted, given), scale)
    message = (
        f"the output for image {places[by_image.argmax()]} is off by {by_image.max():.3g} of the spread between images"
    )
    comparison.at_most("output_error", by_image.max(), message)
    # A class has num_images values and an image num_classes, and lengths grow with the square root of that number.
    by_class = ratios(differences(wanted.T, given.T), scale * np.sqrt(num_images / num_classes))
    message = f"the output for class {by_class.argmax()} is off by {by_class.max():.3g} of the spread between images"
    comparison.at_most("class_error", by_class.max(), message, limit="output_error")
