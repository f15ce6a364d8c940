"""The heads of DETR-like detectors: one box per query, and a score for each of its classes."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from actors.errors import JobError
from actors.tasks.detection.candidates import Candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.tasks.base import Outputs


class _DetrHead:
    """Outputs named in `_NAMES`: logits (n, q, classes) and boxes (n, q, 4): centre, width and height as fractions of
    the input. See `actors.tasks.detection.head.Head`.
    """

    name: str
    layout: str
    is_suppressed = True
    extra_classes: int

    def recognises(self, outputs: Outputs, labels: Sequence[str] | None) -> bool:
        """Returns True even without ``labels``, when the head cannot be determined."""
        names = _names(outputs)
        if names is None:
            return False
        return labels is None or outputs.shapes[names[0]][1] == len(labels) + self.extra_classes

    def plausibility(self, outputs: Outputs) -> int:  # noqa: ARG002  the names tell
        return 2

    def output_names(self, outputs: Outputs) -> list[str]:
        return list(_names(outputs) or ())

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        _, boxes = _names_of(tensors)
        most = np.nanmax(tensors[boxes])
        if most > _SHARES:
            raise JobError(
                f"task.head={self.name}: the boxes in the model's output {boxes} reach {most:.3g}, and shares of the "
                "image do not",
                fix="export the network with boxes relative to its input size, or choose another task.head",
            )

    def parts(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        # Sorted, since networks that choose their queries may swap two, which does not affect sorted numbers.
        logits, boxes = (np.sort(tensors[name].astype(np.float32), axis=1) for name in _names_of(tensors))
        return {"logits": logits, "boxes": boxes}

    def candidates(
        self, tensors: Mapping[str, np.ndarray], input_hw: tuple[int, int], *, threshold: float
    ) -> Candidates:
        logits, boxes_cxcywh = (tensors[name] for name in _names_of(tensors))
        valid = np.isfinite(logits).all(axis=(1, 2)) & np.isfinite(boxes_cxcywh).all(axis=(1, 2))
        known = np.where(valid[:, None, None], logits, 0).astype(np.float32)
        scores, label_ids, places = self._best(known)
        images, ranks = np.nonzero((scores >= threshold) & valid[:, None])
        queries = places[images, ranks]
        return Candidates(
            images,
            _corners(boxes_cxcywh[images, queries].astype(np.float32), input_hw),
            scores[images, ranks],
            label_ids[images, ranks].astype(np.int32),
            queries,
            valid,
        )

    @abstractmethod
    def _best(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns score, class and query of the boxes of each image, (n, k) each."""


class DetrHead(_DetrHead):
    """Softmax over the classes and a final class for no object, as in DETR and YOLOS: each query has its best class."""

    name = "detr"
    layout = "logits (n, boxes, classes + 1) and pred_boxes (n, boxes, 4)"
    extra_classes = 1

    def _best(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        powers = np.exp(logits - logits.max(axis=2, keepdims=True))
        shares = (powers / powers.sum(axis=2, keepdims=True))[..., :-1]
        queries = np.broadcast_to(np.arange(logits.shape[1]), logits.shape[:2])
        return shares.max(axis=2), shares.argmax(axis=2), queries


class SigmoidDetrHead(_DetrHead):
    """A sigmoid for each class, as in Deformable, Conditional and RT-DETR: keeps the best pairs of query and class, as
    many as there are queries, so one box may have several classes.
    """

    name = "detr_sigmoid"
    layout = "logits (n, boxes, classes) and pred_boxes (n, boxes, 4)"
    extra_classes = 0

    def _best(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n, num_queries, num_classes = logits.shape
        pairs = logits.reshape(n, num_queries * num_classes)
        best = np.argpartition(pairs, -num_queries, axis=1)[:, -num_queries:]
        scores = 1 / (1 + np.exp(-np.take_along_axis(pairs, best, axis=1)))
        return scores, best % num_classes, best // num_classes


# As in transformers, the DETR authors' code, and RF-DETR exports.
_NAMES = (("logits", "pred_boxes"), ("pred_logits", "pred_boxes"), ("labels", "dets"))


_SHARES = 2.0  # fractions; a box may extend over the edge


def _names(outputs: Outputs) -> tuple[str, str] | None:
    shapes = outputs.shapes
    for logits, boxes in _NAMES:
        is_there = logits in shapes and boxes in shapes and len(shapes[logits]) == 2  # noqa: PLR2004  q, classes
        if is_there and shapes[boxes] == (shapes[logits][0], 4):
            return logits, boxes
    return None


def _names_of(tensors: Mapping[str, np.ndarray]) -> tuple[str, str]:
    return next(pair for pair in _NAMES if pair[0] in tensors and pair[1] in tensors)


def _corners(boxes_cxcywh: np.ndarray, input_hw: tuple[int, int]) -> np.ndarray:
    """Returns corners in pixels for boxes (m, 4) in fractions of the input."""
    height, width = input_hw
    centres, halves = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:] / 2
    shares_xyxy = np.concatenate([centres - halves, centres + halves], axis=1)
    return np.asarray(shares_xyxy * np.array([width, height] * 2, np.float32))
