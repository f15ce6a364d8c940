"""The head of detectors that suppress overlapping boxes themselves and pad the rest to a fixed number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actors.errors import JobError
from actors.tasks.detection.candidates import Candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.tasks.base import Outputs


class PaddedHead:
    """See `actors.tasks.detection.head.Head`.

    Recognises outputs by name (`_LAYOUTS`), and keeps class numbers unchanged: in torchvision and TensorFlow's object
    detection API they begin at 1, so labels begin with a background class.
    """

    name = "padded"
    layout = "outputs boxes (n, boxes, 4), scores and labels (n, boxes)"
    is_suppressed = True

    def recognises(self, outputs: Outputs, labels: Sequence[str] | None) -> bool:  # noqa: ARG002  any number of them
        return _layout(outputs) is not None

    def plausibility(self, outputs: Outputs) -> int:  # noqa: ARG002  the names tell
        return 2

    def output_names(self, outputs: Outputs) -> list[str]:
        return [] if (layout := _layout(outputs)) is None else layout.names

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        layout = _layout_of(tensors)
        most_score, most = (np.nanmax(tensors[name], initial=0) for name in (layout.scores, layout.boxes))
        if most_score > 1 + _ROUNDING:
            raise JobError(
                f"task.head=padded: scores in the model's output {layout.scores} reach {most_score:.3g}, and "
                "probabilities do not",
                fix="export the network with its last activation",
            )
        is_in_shares = _is_in_shares(layout, tensors)
        if most > 0 and is_in_shares != (most <= _SHARES):
            units = ("pixels", "shares of the image") if is_in_shares else ("shares of the image", "pixels")
            raise JobError(
                f"task.head=padded: the boxes in the model's output {layout.boxes} are {units[0]}, not {units[1]}",
                fix=f"export the network with boxes in {units[1]}",
            )

    def parts(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:  # noqa: ARG002
        return {}

    def candidates(
        self, tensors: Mapping[str, np.ndarray], input_hw: tuple[int, int], *, threshold: float
    ) -> Candidates:
        layout = _layout_of(tensors)
        boxes, scores, label_ids = (tensors[name] for name in layout.names[:3])
        valid = np.isfinite(boxes).all(axis=(1, 2)) & np.isfinite(scores).all(axis=1)
        is_box = (scores >= threshold) & (scores > 0) & valid[:, None]  # padding has score 0
        if layout.count is not None:
            is_box &= np.arange(scores.shape[1]) < tensors[layout.count].reshape(-1, 1)
        images, places = np.nonzero(is_box)
        chosen = boxes[images, places].astype(np.float32)
        if _is_in_shares(layout, tensors):
            height, width = input_hw
            chosen = chosen[:, [1, 0, 3, 2]] * np.array([width, height] * 2, np.float32)
        found = scores[images, places].astype(np.float32), label_ids[images, places].astype(np.int32)
        return Candidates(images, chosen, np.minimum(found[0], 1), found[1], places, valid)


@dataclass(frozen=True)
class _Layout:
    """The names of the outputs (n, m, 4), (n, m), (n, m), and of the number of boxes per image: (n,) or (n, 1)."""

    boxes: str
    scores: str
    labels: str
    count: str | None = None

    @property
    def names(self) -> list[str]:
        return [self.boxes, self.scores, self.labels, *([self.count] if self.count else [])]

    def fits(self, outputs: Outputs) -> bool:
        if not outputs.shapes.keys() >= set(self.names):
            return False
        boxes, scores, labels = (outputs.shapes[name] for name in self.names[:3])
        is_counted = self.count is None or outputs.shapes[self.count] in ((), (1,))
        return len(boxes) == 2 and boxes[1] == 4 and scores == labels == boxes[:1] and is_counted  # noqa: PLR2004


_TENSORFLOW = "detection_boxes"
_LAYOUTS = (
    _Layout("boxes", "scores", "labels"),  # of `actors.models.detectors.padded`
    _Layout(_TENSORFLOW, "detection_scores", "detection_classes", "num_detections"),
    _Layout("det_boxes", "det_scores", "det_classes", "num_dets"),  # EfficientNMS_TRT as named by YOLO exporters
)


_ROUNDING = 1e-2  # rounding of a probability in bf16
_SHARES = 2.0  # pixels, or fractions for boxes that extend over the edge


def _layout(outputs: Outputs) -> _Layout | None:
    return next((layout for layout in _LAYOUTS if layout.fits(outputs)), None)


def _layout_of(tensors: Mapping[str, np.ndarray]) -> _Layout:
    return next(layout for layout in _LAYOUTS if layout.boxes in tensors)


def _is_in_shares(layout: _Layout, tensors: Mapping[str, np.ndarray]) -> bool:
    """Returns True for TensorFlow's boxes: y before x, in fractions of the input. EfficientNMS_TRT uses the same names,
    but integer classes and pixels.
    """
    return layout.boxes == _TENSORFLOW and tensors[layout.labels].dtype.kind == "f"
