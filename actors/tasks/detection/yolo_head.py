"""The heads of the YOLO family: one tensor with a box, and the scores of all classes, for each grid position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actors.errors import JobError
from actors.tasks.detection.candidates import Candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.tasks.base import Outputs


@dataclass(frozen=True)
class YoloHead:
    """Boxes as centre, width and height in pixels of the model's input, and probabilities. See `Head`.

    A box gets its best class, as in Ultralytics' predict mode; score_v5 = objectness * probability of the class.
    """

    name: str
    layout: str
    channel_axis: int
    """Axis with the numbers of a box, out of the two after the image axis."""
    has_objectness: bool = False
    """True for v5: a fifth number scales the scores of all classes, and each grid cell has three boxes."""
    is_suppressed = False

    def recognises(self, outputs: Outputs, labels: Sequence[str] | None) -> bool:
        found = _matrix(outputs)
        if found is None:
            return False
        num_classes = found[1][self.channel_axis] - self._first_class
        return num_classes >= 1 if labels is None else num_classes == len(labels)

    def plausibility(self, outputs: Outputs) -> int:
        """Returns 1 if there are more boxes than numbers per box, and 2 if their number also matches a usual grid: a
        cell every 8, 16 and 32 pixels, with one more level above or below, or one less.
        """
        _, shape = _given(outputs)
        num_boxes = shape[1 - self.channel_axis]
        if num_boxes <= shape[self.channel_axis]:
            return 0
        num_cells, rest = divmod(num_boxes, 3 if self.has_objectness else 1)
        if outputs.input_hw is None:
            is_grid = any(num_cells % block == 0 for block in _BLOCKS)
        else:
            height, width = outputs.input_hw
            is_grid = num_cells in {sum(-(-height // s) * -(-width // s) for s in strides) for strides in _STRIDES}
        return 2 if is_grid and not rest else 1

    def output_names(self, outputs: Outputs) -> list[str]:
        return [_given(outputs)[0]]

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        (name, tensor), *_ = tensors.items()
        by_channel = self._by_channel(tensor)
        scores, boxes = by_channel[:, 4:], by_channel[:, :4]
        least, most = np.nanmin(scores), np.nanmax(scores)
        if least < -_ROUNDING or most > 1 + _ROUNDING:
            raise JobError(
                f"task.head={self.name}: the scores in the model's output {name} go from {least:.3g} to {most:.3g}, "
                "and probabilities do not",
                fix="export the network with its sigmoid, as Ultralytics does, or choose another task.head",
            )
        if 0 < np.nanmax(boxes) <= _SHARES:
            raise JobError(
                f"task.head={self.name}: the boxes in the model's output {name} are shares of the image, not pixels",
                fix="export the network with boxes in pixels of its input",
            )

    def parts(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        by_channel = self._by_channel(next(iter(tensors.values())))
        return {"boxes": by_channel[:, :4], "scores": logarithms(by_channel[:, 4:])}

    def candidates(
        self,
        tensors: Mapping[str, np.ndarray],
        input_hw: tuple[int, int],  # noqa: ARG002
        *,
        threshold: float,
    ) -> Candidates:
        by_channel = self._by_channel(next(iter(tensors.values())))
        valid = finite(by_channel)
        first = self._first_class
        # Objectness alone is an upper bound on the scores.
        most = by_channel[:, 4] if self.has_objectness else by_channel[:, 4:].max(axis=1)
        images, places = np.nonzero((most >= threshold) & valid[:, None])
        rows = by_channel[images, :, places]
        label_ids = rows[:, first:].argmax(axis=1)
        scores = np.take_along_axis(rows[:, first:], label_ids[:, None], axis=1)[:, 0]
        if self.has_objectness:
            scores = scores * rows[:, 4]
        half = rows[:, 2:4] / 2
        boxes_xyxy = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)
        found = Candidates(images, boxes_xyxy, np.minimum(scores, 1), label_ids.astype(np.int32), places, valid)
        return found.take(scores >= threshold) if self.has_objectness else found

    @property
    def _first_class(self) -> int:
        return 5 if self.has_objectness else 4

    def _by_channel(self, tensor: np.ndarray) -> np.ndarray:
        """Returns a view (n, numbers, boxes) of the output, in float32."""
        tensor = tensor.astype(np.float32, copy=False)
        return tensor if self.channel_axis == 0 else tensor.transpose(0, 2, 1)


@dataclass(frozen=True)
class YoloNmsHead:
    """Corners, score and class of a fixed number of boxes, from networks that include suppression, such as Ultralytics'
    exports with ``nms=True`` and YOLOv10. See `Head`.
    """

    name = "yolo_nms"
    layout = "one output (n, boxes, 6)"
    is_suppressed = True

    def recognises(self, outputs: Outputs, labels: Sequence[str] | None) -> bool:  # noqa: ARG002
        found = _matrix(outputs)
        return found is not None and found[1][1] == _NUMBERS

    def plausibility(self, outputs: Outputs) -> int:
        """Returns 2 unless there are more boxes than a picture has objects."""
        return 2 if _given(outputs)[1][0] <= _MOST_OBJECTS else 0

    def output_names(self, outputs: Outputs) -> list[str]:
        return [_given(outputs)[0]]

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        (name, tensor), *_ = tensors.items()
        scores, label_ids = tensor[..., 4], tensor[..., 5]
        known = label_ids[np.isfinite(label_ids)]
        if np.nanmax(scores) > 1 + _ROUNDING or (known != np.round(known)).any():
            raise JobError(
                f"task.head={self.name}: the model's output {name} does not hold a score and the number of a class "
                "after the corners of each box",
                fix="choose another task.head",
            )

    def parts(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:  # noqa: ARG002
        return {}

    def candidates(
        self,
        tensors: Mapping[str, np.ndarray],
        input_hw: tuple[int, int],  # noqa: ARG002
        *,
        threshold: float,
    ) -> Candidates:
        rows = next(iter(tensors.values())).astype(np.float32, copy=False)
        valid = finite(rows)
        # Positions without a box have score 0, or class -1.
        images, places = np.nonzero((rows[..., 4] >= threshold) & (rows[..., 5] >= 0) & valid[:, None])
        found = rows[images, places]
        label_ids = found[:, 5].astype(np.int32)
        return Candidates(images, found[:, :4], np.clip(found[:, 4], 0, 1), label_ids, places, valid)


def finite(tensor: np.ndarray) -> np.ndarray:
    """Returns True, bool (n,), for images whose values are all finite: then their sum is."""
    with np.errstate(over="ignore", invalid="ignore"):
        sums = tensor.sum(axis=tuple(range(1, tensor.ndim)), dtype=np.float32)
    return np.asarray(np.isfinite(sums))


def logarithms(probabilities: np.ndarray) -> np.ndarray:
    """Returns logarithms of probabilities, which are raised to at least 1e-4. Unlike logits, they survive rounding to
    bf16 near 1.
    """
    return np.asarray(np.log(np.maximum(probabilities, _LEAST)), np.float32)


_NUM_AXES = 2
_NUMBERS = 6  # corners, score and class
_LEAST = 1e-4
_ROUNDING = 1e-2  # rounding of a probability in bf16
_SHARES = 1.5  # pixels: some grid centre lies beyond
_MOST_OBJECTS = 1000
# Strides of the grid levels, and the cells of all levels for one cell of the coarsest.
_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
_BLOCKS = (21, 85)

YOLO_HEADS = (
    YoloHead("yolov5", "one output (n, boxes, 5 + classes)", channel_axis=1, has_objectness=True),
    YoloHead("yolov8", "one output (n, 4 + classes, boxes)", channel_axis=0),
    YoloHead("yolov8_transposed", "one output (n, boxes, 4 + classes)", channel_axis=1),
    YoloNmsHead(),
)


def _matrix(outputs: Outputs) -> tuple[str, tuple[int, int]] | None:
    """Returns name and shape of the output with two axes besides the image axis; None if there is not exactly one."""
    found = [(name, (shape[0], shape[1])) for name, shape in outputs.shapes.items() if len(shape) == _NUM_AXES]
    return found[0] if len(found) == 1 else None


def _given(outputs: Outputs) -> tuple[str, tuple[int, int]]:
    """Returns `_matrix` of outputs that a head has recognised."""
    name = next(name for name, shape in outputs.shapes.items() if len(shape) == _NUM_AXES)
    return name, (outputs.shapes[name][0], outputs.shapes[name][1])
