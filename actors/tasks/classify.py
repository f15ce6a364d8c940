"""Scores and the best classes of each image. Runs in the predictor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.errors import JobError
from actors.tasks.base import Outputs, pick_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Activation(Enum):
    """What turns a model's outputs into scores."""

    softmax = "softmax"
    sigmoid = "sigmoid"
    none = "none"


@dataclass
class Classify:
    """Gives ``label_id`` int32, ``label`` string, ``score`` float32, and the lists ``top_label_ids``,
    ``top_labels`` and ``top_scores`` of the best classes, best first; of equal scores the lower class comes first.
    A row whose scores are not finite is an error row.
    """

    name: str = "classify"
    top_k: int = 5
    """How many classes the lists hold; fewer when the model has fewer."""
    activation: Activation = Activation.softmax
    """Turns the output into scores; none when the model gives probabilities."""
    output: str | None = None
    """Which output holds one number a class; needed only where several could."""

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:
        if self.top_k < 1:
            raise JobError(f"task.top_k={self.top_k}: must be at least 1", cure="the usual value is 5")
        output = pick_output(outputs, self.output, rank=1, task="classify")
        num_classes = outputs.shapes[output][0]
        if labels is not None and len(labels) != num_classes:
            raise JobError(
                f"model.labels: {len(labels)} labels, and the model's output {output} has {num_classes} classes",
                cure=f"give a file with {num_classes} lines, one label a line, in the order of the classes",
            )
        return list(_FIELDS)

    def columns(
        self, tensors: Mapping[str, np.ndarray], labels: Sequence[str] | None
    ) -> tuple[list[pa.Array], np.ndarray]:
        output = pick_output(Outputs.of(tensors), self.output, rank=1, task="classify")
        scores = _activate(tensors[output].astype(np.float32, copy=False), self.activation)
        valid = np.isfinite(scores).all(axis=1)
        top_ids = _best(scores, min(self.top_k, scores.shape[1]))
        top_scores = np.take_along_axis(scores, top_ids, axis=1)
        names = pa.array(labels or [str(number) for number in range(scores.shape[1])], pa.string())
        top_labels = names.take(pa.array(top_ids.ravel()))
        k = top_ids.shape[1]
        columns = [
            pa.array(top_ids[:, 0]),
            names.take(pa.array(top_ids[:, 0])),
            pa.array(top_scores[:, 0]),
            _lists(pa.array(top_ids.ravel()), k),
            _lists(top_labels, k),
            _lists(pa.array(top_scores.ravel()), k),
        ]
        return columns, valid


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
    with np.errstate(over="ignore", invalid="ignore"):  # not finite logits are told apart afterwards
        if activation is Activation.sigmoid:
            return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    """Class numbers int32 (n, k) of the highest scores, best first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)


def _lists(values: pa.Array, length: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(values) + 1, length, dtype=np.int32)), values)
