from __future__ import annotations

import numpy as np
import pytest

from actors.errors import JobError
from actors.tasks.base import Outputs
from actors.tasks.segmentation.heads import Reading, SegmentHead, reading_of

LOGITS, IDS, FLOATS = np.zeros((2, 5, 8, 8), np.float32), np.zeros((2, 8, 8), np.int64), np.zeros((2, 8, 8), np.float32)
INSTANCES = {
    "boxes": np.zeros((2, 6, 4), np.float32),
    "scores": np.zeros((2, 6), np.float32),
    "labels": np.zeros((2, 6), np.int64),
    "masks": np.zeros((2, 6, 28, 28), np.float32),
}


def read(head: SegmentHead = SegmentHead.auto, wanted: str | None = None, **tensors: np.ndarray) -> Reading:
    return reading_of(Outputs.of(tensors), head, wanted)


def test_outputs_are_recognised() -> None:
    assert read(out=LOGITS, aux=LOGITS) == Reading(SegmentHead.logits, "out")
    assert read(logits=LOGITS, hidden=LOGITS) == Reading(SegmentHead.logits, "logits")
    assert read(other=LOGITS[:, :1]) == Reading(SegmentHead.logits, "other")
    assert read(classes=IDS) == Reading(SegmentHead.class_map, "classes")
    assert read(classes=IDS[:, None].astype(np.uint8)) == Reading(SegmentHead.class_map, "classes")
    assert read(**INSTANCES) == Reading(SegmentHead.instances, "masks")


def test_instances_need_boxes_and_masks() -> None:
    outputs = Outputs.of(INSTANCES)
    names = reading_of(outputs, SegmentHead.auto, None).output_names(outputs)
    assert names == ["boxes", "scores", "labels", "masks"]
    assert read(SegmentHead.logits, a=LOGITS).output_names(Outputs.of({"a": LOGITS})) == ["a"]


def test_floats_are_classes_on_request_only() -> None:
    with pytest.raises(JobError, match=r"task\.head=auto: does not fit"):
        read(classes=FLOATS)
    assert read(SegmentHead.class_map, classes=FLOATS) == Reading(SegmentHead.class_map, "classes")


def test_of_several_outputs_one_has_to_be_named() -> None:
    with pytest.raises(JobError, match="several outputs fit") as caught:
        read(a=LOGITS, b=LOGITS, c=IDS)
    assert "['a', 'b', 'c']" in caught.value.fix
    assert read(wanted="b", a=LOGITS, b=LOGITS) == Reading(SegmentHead.logits, "b")
    assert read(SegmentHead.class_map, a=LOGITS, c=IDS) == Reading(SegmentHead.class_map, "c")


@pytest.mark.parametrize(
    ("head", "wanted", "tensors", "message"),
    [
        (SegmentHead.auto, None, {"scores": np.zeros((2, 5), np.float32)}, "does not fit a model with outputs"),
        (SegmentHead.auto, "x", {"out": LOGITS}, "task.head=auto, task.output=x"),
        (SegmentHead.instances, None, {"out": LOGITS}, "task.head=instances"),
        (SegmentHead.auto, None, {"masks_queries_logits": LOGITS}, "masks by query"),
        (SegmentHead.auto, None, {"out": LOGITS.astype(np.complex64)}, "does not fit"),
        (SegmentHead.auto, None, {"out": LOGITS[:, :0]}, "holds no values"),
    ],
)
def test_others_are_refused(head: SegmentHead, wanted: str, tensors: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(JobError, match=message):
        read(head, wanted, **tensors)


def test_an_output_that_does_not_count_the_images_is_refused() -> None:
    outputs = Outputs.of({"logits": LOGITS}, {"odd": (1, 5, 8, 8)})
    with pytest.raises(JobError, match="the model's output odd has shape"):
        reading_of(outputs, SegmentHead.auto, "odd")
