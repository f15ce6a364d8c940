"""Task ``classify``: scores and the best classes of each image. Runs in the predictor."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.errors import JobError
from actors.field_types import coerce_fields
from actors.tasks.base import Outputs, Task, pick_output, vectors
from actors.tasks.class_counts import count_predicted
from actors.tasks.label_counts import label_lines
from actors.tasks.parity import Comparison
from actors.tasks.rankings import rank_answers
from actors.tasks.scores import (
    CHOSEN_FIELDS,
    SCORE_FIELDS,
    Activation,
    activate,
    check_threshold,
    chosen_columns,
    compare_answers,
    score_columns,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from actors.engines.tolerance import Tolerance
    from actors.models.spec import Model
    from actors.tasks.context import BatchContext
    from actors.tasks.parity import Agreement
    from actors.writing.picks import Ranking


LOG = logging.getLogger("shardlens")


@dataclass
class Classify(Task):
    """Writes ``label_id`` int32, ``label`` string, ``score`` float32, and the lists ``top_label_ids``, ``top_labels``
    and ``top_scores`` of the best classes, best first; for equal scores, the lower class comes first. A row whose
    scores are not finite becomes an error row.
    """

    name: str = "classify"
    top_k: int = 5
    """Number of classes in the lists; fewer if the model has fewer."""
    activation: Activation = Activation.softmax
    """Converts the output to scores: softmax if exactly one of several classes is correct; sigmoid if classes are
    independent, or for a single logit, whose score is the probability of label 0; none if the model already returns
    probabilities.
    """
    output: str | None = None
    """Name of the output with one number per class; needed only if several outputs qualify."""
    threshold: float | None = None
    """For models with several labels per image: adds ``label_ids``, ``labels`` and ``scores``, lists of all classes
    whose score is at least this, best first; null adds no columns. Needs ``activation`` sigmoid or none.
    """

    def __post_init__(self) -> None:
        coerce_fields(self, "task")
        self._labels: list[str] | None = None  # not a field: the labels are the model's

    def prepare(self, model: Model) -> None:
        self._labels = self.class_names(model)

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:
        if self.top_k < 1:
            raise JobError(f"task.top_k={self.top_k}: must be at least 1", fix="the usual value is 5")
        output = pick_output(outputs, self.output, task="classify")
        num_classes = math.prod(outputs.shapes[output])
        if num_classes == 1 and self.activation is Activation.softmax:
            raise JobError(
                f"task.activation=softmax: the model's output {output} has one value per image, and the softmax of one "
                "value is always 1",
                fix="set task.activation=sigmoid if it is a logit, or task.activation=none if it is a probability",
            )
        if labels is not None and len(labels) != num_classes:
            raise JobError(
                f"model.labels: {len(labels)} labels, and the model's output {output} has {num_classes} classes",
                fix=f"give a file with {num_classes} lines, one label per line, in the order of the classes",
            )
        check_threshold(self.threshold, self.activation)
        return [*SCORE_FIELDS, *(CHOSEN_FIELDS if self.threshold is not None else ())]

    def output_names(self, outputs: Outputs) -> list[str]:
        return [pick_output(outputs, self.output, task="classify")]

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Raises `JobError` if the output is already a softmax: noise does not sum to 1 by chance.

        Values between 0 and 1, as from a sigmoid, may still be logits, so they only cause a warning.
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
                fix="set task.activation=none",
            )
        LOG.warning(
            "task.activation=%s: all values of the model's output %s lie between 0 and 1 on trial images; if they are "
            "already probabilities, as from a sigmoid, set task.activation=none",
            self.activation.value,
            output,
        )

    def columns(self, tensors: Mapping[str, np.ndarray], context: BatchContext) -> tuple[list[pa.Array], np.ndarray]:
        output = pick_output(Outputs.of(tensors), self.output, task="classify")
        scores = activate(vectors(tensors[output]), self.activation)
        columns = score_columns(scores, context.labels, self.top_k)
        if self.threshold is not None:
            columns += chosen_columns(scores, context.labels, self.threshold)
        return columns, np.isfinite(scores).all(axis=1)

    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """See `actors.tasks.base.Task`. Compares scores and the logits behind them."""
        output = pick_output(Outputs.of(reference), self.output, task="classify")
        comparison = Comparison(tolerance)
        if not comparison.has_outputs(reference, candidate, [output]):
            return comparison.result
        wanted, given = (vectors(tensors[output]) for tensors in (reference, candidate))
        return compare_answers(output, wanted, given, self.activation, tolerance)

    def counts(self, table: pa.Table) -> dict[str, int]:
        """Counts images by label and by score, and, unless an image may have several labels, correct answers."""
        return count_predicted(table, self._labels, top_k=self.top_k, has_several=self.threshold is not None)

    def rankings(self, table: pa.Table) -> list[Ranking]:
        return rank_answers(table, self._labels, is_single=self.threshold is None)

    def summary(self, counters: Mapping[str, int]) -> list[tuple[str, str]]:
        return [] if self.threshold is None else label_lines(counters)

    def identity(self) -> dict[str, Any]:
        """See `actors.tasks.base.Task`. Without a threshold, equals the identity from versions before there was one."""
        fields = super().identity()
        return fields if self.threshold is not None else {key: fields[key] for key in fields if key != "threshold"}


_ROUNDING = 5e-3  # rounding of the sum of probabilities computed in bf16
