"""Task ``classify``: scores and the best classes of each image. Runs in the predictor."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.errors import JobError
from actors.field_types import coerce_fields
from actors.tasks.accuracy import count_correct
from actors.tasks.base import Outputs, Task, pick_output, vectors
from actors.tasks.parity import Comparison, differences, ratios, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.engines.tolerance import Tolerance
    from actors.tasks.context import BatchContext
    from actors.tasks.parity import Agreement


LOG = logging.getLogger("shardlens")


class Activation(Enum):
    """Function that turns a model's outputs into scores."""

    softmax = "softmax"
    sigmoid = "sigmoid"
    none = "none"


@dataclass
class Classify(Task):
    """Writes ``label_id`` int32, ``label`` string, ``score`` float32, and the lists ``top_label_ids``,
    ``top_labels`` and ``top_scores`` of the best classes, best first; among equal scores the lower class comes first.
    A row whose scores are not finite becomes an error row.
    """

    name: str = "classify"
    top_k: int = 5
    """Number of classes in the lists; fewer where the model has fewer."""
    activation: Activation = Activation.softmax
    """Turns the output into scores: softmax where exactly one of several classes is right; sigmoid where classes are
    independent, or for a single logit, whose score is the probability of label 0; none where the model already gives
    probabilities.
    """
    output: str | None = None
    """Name of the output with one number per class; needed only where several could be meant."""

    def __post_init__(self) -> None:
        coerce_fields(self, "task")

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:
        if self.top_k < 1:
            raise JobError(f"task.top_k={self.top_k}: must be at least 1", cure="the usual value is 5")
        output = pick_output(outputs, self.output, task="classify")
        num_classes = math.prod(outputs.shapes[output])
        if num_classes == 1 and self.activation is Activation.softmax:
            raise JobError(
                f"task.activation=softmax: the model's output {output} has one value per image, and the softmax of one "
                "value is always 1",
                cure="set task.activation=sigmoid if it is a logit, or task.activation=none if it is a probability",
            )
        if labels is not None and len(labels) != num_classes:
            raise JobError(
                f"model.labels: {len(labels)} labels, and the model's output {output} has {num_classes} classes",
                cure=f"give a file with {num_classes} lines, one label per line, in the order of the classes",
            )
        return list(_FIELDS)

    def output_names(self, outputs: Outputs) -> list[str]:
        return [pick_output(outputs, self.output, task="classify")]

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Raises `JobError` where the output already went through a softmax: noise does not sum to 1 by chance.

        Values between 0 and 1, as from a sigmoid, may still be logits, so they only log a warning.
        """
        output = pick_output(Outputs.of(tensors), self.output, task="classify")
        values = vectors(tensors[output])
        values = values[np.isfinite(values).all(axis=1)]
        is_share = len(values) and values.min() >= -_ROUNDING and 0 < values.max() <= 1 + _ROUNDING
        if self.activation is Activation.none or not is_share:
            return
        if values.shape[1] > 1 and np.abs(values.sum(axis=1) - 1).max() <= _ROUNDING:
            raise JobError(
                f"task.activation={self.activation.value}: the model's output {output} holds probabilities, which sum "
                "to 1 for every image; a second activation would flatten them",
                cure="set task.activation=none",
            )
        LOG.warning(
            "task.activation=%s: all values of the model's output %s lie between 0 and 1 on trial images; if they are "
            "already probabilities, as from a sigmoid, set task.activation=none",
            self.activation.value,
            output,
        )

    def columns(self, tensors: Mapping[str, np.ndarray], context: BatchContext) -> tuple[list[pa.Array], np.ndarray]:
        output = pick_output(Outputs.of(tensors), self.output, task="classify")
        scores = _activate(vectors(tensors[output]), self.activation)
        valid = np.isfinite(scores).all(axis=1)
        top_ids = _best(scores, min(self.top_k, scores.shape[1]))
        top_scores = np.take_along_axis(scores, top_ids, axis=1)
        # Without labels, the number of the class is its name. Only those of the best become Arrow: there may be 20,000.
        labels, best = context.labels, top_ids.ravel().tolist()
        top_labels = pa.array([labels[label_id] if labels else str(label_id) for label_id in best], pa.string())
        k = top_ids.shape[1]
        columns = [
            pa.array(top_ids[:, 0]),
            top_labels[::k],
            pa.array(top_scores[:, 0]),
            _lists(pa.array(top_ids.ravel()), k),
            _lists(top_labels, k),
            _lists(pa.array(top_scores.ravel()), k),
        ]
        return columns, valid

    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """See `actors.tasks.base.Task`. Compares scores and the logits behind them: where all scores are small, or all
        but one are nearly 0, even a broken network changes no score by much.
        """
        comparison = Comparison(tolerance)
        output = pick_output(Outputs.of(reference), self.output, task="classify")
        if not comparison.has_outputs(reference, candidate, [output]):
            return comparison.result
        both = [vectors(tensors[output]) for tensors in (reference, candidate)]
        scores = [_activate(logits, self.activation) for logits in both]
        places = comparison.finite(output, *(np.isfinite(one).all(axis=1) for one in scores))
        if len(places):
            # In float64: the differences are near the rounding of float32.
            _compare_scores(comparison, places, *(one[places].astype(np.float64) for one in scores))
            _compare_logits(comparison, places, *_comparable(both[0][places], both[1][places], self.activation))
        return comparison.result

    def counts(self, table: pa.Table) -> dict[str, int]:
        return count_correct(table)


_ROUNDING = 5e-3  # of the sum of probabilities computed in bf16

_FIELDS = (
    pa.field("label_id", pa.int32()),
    pa.field("label", pa.string()),
    pa.field("score", pa.float32()),
    pa.field("top_label_ids", pa.list_(pa.int32())),
    pa.field("top_labels", pa.list_(pa.string())),
    pa.field("top_scores", pa.list_(pa.float32())),
)


def _activate(logits: np.ndarray, activation: Activation) -> np.ndarray:
    if activation is Activation.none:
        return logits
    with np.errstate(over="ignore", invalid="ignore"):  # the caller finds the logits that are not finite
        if activation is Activation.sigmoid:
            return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
        # The largest exponent is 0, so that none overflows.
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    """Class numbers int32 (n, k) of the highest scores, best first; of equal scores the lower class, NaN last."""
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
    """Reduces logits to what scores depend on: drops classes that the reference masks with -inf, and for softmax the
    mean over classes.
    """
    known = np.isfinite(wanted).all(axis=0)
    both = [np.nan_to_num(logits[:, known]) for logits in (wanted, given)]
    if activation is not Activation.softmax or not known.any():
        return both
    return [logits - logits.mean(axis=1, keepdims=True, dtype=np.float64) for logits in both]


def _compare_logits(comparison: Comparison, places: np.ndarray, wanted: np.ndarray, given: np.ndarray) -> None:
    """Compares each image over all classes, and each class over all images: one wrong class drowns among a thousand."""
    num_images, num_classes = wanted.shape
    if not num_classes:
        return
    scale = spread(wanted)
    by_image = ratios(differences(wanted, given), scale)
    message = (
        f"the output for image {places[by_image.argmax()]} is off by {by_image.max():.3g} of the spread between images"
    )
    comparison.at_most("output_error", by_image.max(), message)
    # A class has num_images values and an image num_classes, and lengths grow with the root of their number.
    by_class = ratios(differences(wanted.T, given.T), scale * np.sqrt(num_images / num_classes))
    message = f"the output for class {by_class.argmax()} is off by {by_class.max():.3g} of the spread between images"
    comparison.at_most("class_error", by_class.max(), message, limit="output_error")
