"""The outputs that segmentation reads, chosen by the names and shapes of a model's outputs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.models.output_shapes import not_counted
from actors.tasks.base import PROBE_SIZE, check_values
from actors.tasks.detection.padded_head import PaddedHead

if TYPE_CHECKING:
    from actors.tasks.base import Outputs


class SegmentHead(Enum):
    """Layout of a model's outputs."""

    auto = "auto"
    logits = "logits"
    class_map = "class_map"
    instances = "instances"


@dataclass(frozen=True)
class Reading:
    """A head other than auto, and the output with the logits, the classes or the masks."""

    head: SegmentHead
    output: str

    @property
    def is_instances(self) -> bool:
        return self.head is SegmentHead.instances

    def output_names(self, outputs: Outputs) -> list[str]:
        """Returns the names of all outputs that the head needs."""
        return [*(PaddedHead().output_names(outputs) if self.is_instances else []), self.output]


def reading_of(outputs: Outputs, head: SegmentHead, wanted: str | None) -> Reading:
    """Chooses the output to read, and, for auto, the head.

    Args:
        outputs: the outputs of the model.
        head: value of ``task.head``.
        wanted: value of ``task.output``.

    Raises:
        JobError: no output fits, or several do.
    """
    if wanted is not None and wanted in outputs.uncounted:
        raise not_counted({wanted: outputs.uncounted[wanted]}, PROBE_SIZE)
    if any(_QUERIES in name for name in outputs.shapes):
        raise JobError(
            f"task=segment: the model gives masks by query, {outputs}, which have no class of their own",
            fix="use a model that gives logits of shape (n, classes, h, w), or export this one with post-processing",
        )
    fitting = {
        kind: [name for name in _fitting(outputs, kind, is_asked=head is kind) if wanted in (None, name)]
        for kind in _KINDS
        if head in (SegmentHead.auto, kind)
    }
    if not any(fitting.values()):
        raise _unfit(outputs, head, wanted)
    if fitting.get(SegmentHead.instances):
        return Reading(SegmentHead.instances, MASKS)
    found = [Reading(kind, name) for kind, names in fitting.items() for name in names]
    usual = [reading for reading in found if reading.output in _USUAL] if len(found) > 1 else found
    if len(usual) != 1:
        names = [reading.output for reading in found]
        raise JobError(
            f"task=segment: several outputs fit, and the model gives {outputs}",
            fix=f"set task.output to one of {names}",
        )
    check_values(outputs, usual[0].output)
    return usual[0]


MASKS = "masks"
_KINDS = (SegmentHead.instances, SegmentHead.logits, SegmentHead.class_map)
_USUAL = ("out", "logits")  # in torchvision, which also has aux, and in transformers
_QUERIES = "masks_queries_logits"  # in MaskFormer and similar models in transformers
_CHW, _HW = 3, 2


def _fitting(outputs: Outputs, head: SegmentHead, *, is_asked: bool) -> list[str]:
    """Returns the names of the outputs that ``head`` can read; integers may be floats only if the head ``is_asked``
    for.
    """
    shapes = {name: shape for name, shape in outputs.shapes.items() if outputs.dtypes[name].kind in "biuf"}
    is_float = {name: outputs.dtypes[name].kind == "f" for name in shapes}
    if head is SegmentHead.instances:
        has_masks = len(shapes.get(MASKS, ())) == _CHW and PaddedHead().recognises(outputs, None)
        return [MASKS] if has_masks else []
    if head is SegmentHead.logits:
        return [name for name, shape in shapes.items() if len(shape) == _CHW and is_float[name]]
    is_map = {name: len(shape) == _HW or (len(shape) == _CHW and shape[0] == 1) for name, shape in shapes.items()}
    return [name for name in shapes if is_map[name] and (is_asked or not is_float[name])]


def _unfit(outputs: Outputs, head: SegmentHead, wanted: str | None) -> JobError:
    where = f"task.head={head.value}" + (f", task.output={wanted}" if wanted else "")
    return JobError(
        f"{where}: does not fit a model with outputs {outputs}",
        fix="use a model with logits of floats (n, classes, h, w), a class map of integers (n, h, w) or (n, 1, h, w) "
        "(task.head=class_map, if they are floats), or boxes, scores, labels and masks (n, m, h, w) of Mask R-CNN",
    )
