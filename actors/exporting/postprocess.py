"""Post-processing as part of an exported graph, and the same in NumPy for the answers of the reference. Runs where a
model is exported, and where a bundle is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE, SOFTMAX, TOPK = "none", "softmax", "topk"
SCORES, TOP_SCORES, TOP_LABEL_IDS = "scores", "top_scores", "top_label_ids"


@dataclass(frozen=True)
class Postprocess:
    """Steps after the network.

    With `SOFTMAX` the only output is `SCORES`, float32 (n, classes). With `TOPK` there are `TOP_SCORES`, float32, and
    `TOP_LABEL_IDS`, int32, both (n, `top_k`), best first. With `NONE` the outputs are those of the network.
    """

    kind: str = NONE
    output: str = ""
    """Name of the network's output with one number per class."""
    top_k: int = 1
    sigmoid: bool = False
    """Scores by sigmoid instead of softmax."""

    def of(self, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs of the graph, given those of the network."""
        if self.kind == NONE:
            return dict(outputs)
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
