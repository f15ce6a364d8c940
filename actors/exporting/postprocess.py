"""Post-processing as part of an exported graph, and its NumPy equivalent for the reference's outputs. Runs where a
model is exported and where a bundle is checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NONE, SOFTMAX, TOPK, NMS = "none", "softmax", "topk", "nms"
SCORES, TOP_SCORES, TOP_LABEL_IDS, DETECTIONS = "scores", "top_scores", "top_label_ids", "detections"


@dataclass(frozen=True)
class Suppression:
    """Non-maximum suppression of a YOLO network's boxes, with the limits fixed in the graph."""

    output: str
    """Name of the network's output, (n, numbers, boxes) or (n, boxes, numbers): centre, width, height, objectness if
    present, and class scores.
    """
    channel_axis: int
    """Axis of the numbers, one of the two after the image axis."""
    has_objectness: bool
    num_classes: int
    num_rows: int
    """Maximum number of remaining boxes per image."""
    score_threshold: float
    iou: float
    class_agnostic: bool
    classes: tuple[int, ...]
    """Classes to keep; empty: all."""


@dataclass(frozen=True)
class Postprocess:
    """Steps after the network.

    With `SOFTMAX`, the only output is `SCORES`, float32 (n, classes). With `TOPK`, the outputs are `TOP_SCORES`,
    float32, and `TOP_LABEL_IDS`, int32, both (n, `top_k`), best first. With `NMS`, the only output is `DETECTIONS`,
    float32 (n, boxes, 6): corners in pixels of the model's input, score and class, best first; rows without a box are
    0. With `NONE`, the outputs are the network's.
    """

    kind: str = NONE
    output: str = ""
    """Name of the network's output with one number per class."""
    top_k: int = 1
    sigmoid: bool = False
    """Computes scores with sigmoid instead of softmax."""
    suppression: Suppression | None = None
    """The steps of `NMS`."""
    detections: Callable[[Mapping[str, np.ndarray]], np.ndarray] | None = field(default=None, compare=False)
    """Computes `DETECTIONS` in NumPy from the network's outputs."""

    def of(self, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the graph's outputs, given the network's."""
        if self.kind == NONE:
            return dict(outputs)
        if self.detections is not None:
            return {DETECTIONS: self.detections(outputs)}
        logits = outputs[self.output].reshape(len(outputs[self.output]), -1).astype(np.float64)
        scores = _sigmoid(logits) if self.sigmoid else _softmax(logits)
        if self.kind == SOFTMAX:
            return {SCORES: scores}
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.top_k].astype(np.int32)
        return {TOP_SCORES: np.take_along_axis(scores, best, axis=1), TOP_LABEL_IDS: best}


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)
