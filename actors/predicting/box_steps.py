"""Non-maximum suppression as graph steps, and the tasks that a graph with fixed limits can serve. Used on export, and
where a bundle is loaded.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from actors.errors import JobError
from actors.exporting.postprocess import NMS, Postprocess, Suppression
from actors.tasks.detect import Detect
from actors.tasks.detection.classes import chosen_classes
from actors.tasks.detection.heads import head_for
from actors.tasks.detection.yolo_head import YoloHead, YoloNmsHead

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.models.bundle_files import Bundle
    from actors.tasks.base import Outputs, Task


def settled(task: Task, outputs: Outputs, labels: Sequence[str] | None) -> Detect:
    """Returns the task as recorded in a bundle: with the head that the outputs have, and numbers for classes.

    Raises:
        JobError: the task does not find boxes, or its head needs no suppression.
    """
    return _settled(task, outputs, labels)[0]


def _settled(task: Task, outputs: Outputs, labels: Sequence[str] | None) -> tuple[Detect, YoloHead]:
    if not isinstance(task, Detect):
        raise JobError(
            f"export.postprocess=nms: needs boxes to suppress, and the job has task={task.name}",
            fix="omit it, or choose task=detect",
        )
    task.fields(outputs, labels)
    head = head_for(task.head, outputs, labels)
    if not isinstance(head, YoloHead):
        raise JobError(
            f"export.postprocess=nms: the model is of task.head={head.name}, which needs no suppression",
            fix="omit it: the graph gives each object one box",
        )
    return replace(task, head=head.name, classes=chosen_classes(task.classes, labels).tolist()), head


def suppression_steps(task: Task, outputs: Outputs, labels: Sequence[str] | None) -> Postprocess:
    """Returns the steps of `NMS` for outputs that ``task`` reads. Raises like `settled`."""
    task, head = _settled(task, outputs, labels)
    (output,) = head.output_names(outputs)
    shape = outputs.shapes[output]
    suppression = Suppression(
        output,
        head.channel_axis,
        head.has_objectness,
        num_classes=shape[head.channel_axis] - (5 if head.has_objectness else 4),
        num_rows=min(task.max_detections, shape[1 - head.channel_axis]),
        score_threshold=task.score_threshold,
        iou=task.iou,
        class_agnostic=task.class_agnostic,
        classes=tuple(task.classes),
    )
    return Postprocess(
        NMS, output, suppression=suppression, detections=partial(_detections, task, output, suppression.num_rows)
    )


def _detections(task: Detect, output: str, num_rows: int, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the boxes of each image as the graph outputs them, (n, ``num_rows``, 6)."""
    found = task.boxes({output: outputs[output]}, (1, 1), None)  # YOLO heads use pixels, whatever the input size
    rows = np.zeros((len(found.valid), num_rows, 6), np.float32)
    rows[~found.valid] = np.nan
    places = np.arange(len(found)) - np.searchsorted(found.images, found.images)
    rows[found.images, places] = np.column_stack([found.boxes_xyxy, found.scores, found.label_ids])
    return rows


def for_suppressed(task: Task, bundle: Bundle, form: str, labels: Sequence[str] | None) -> Task:
    """Returns the task for boxes already suppressed by the graph of ``form``; the same task if it does not suppress.

    Args:
        task: the task of a job. It may be stricter than the graph, as long as the same boxes remain.
        bundle: records the task with which the graph was exported.
        form: one of its forms.
        labels: class names.

    Raises:
        JobError: the task needs boxes that the graph does not output.
    """
    if bundle.forms[form].postprocess != NMS or not isinstance(task, Detect):
        return task
    fixed = bundle.task
    classes = chosen_classes(task.classes, labels).tolist()
    is_part = bool(classes) and not fixed["class_agnostic"] and set(classes) <= set(fixed["classes"] or classes)
    fits = {
        "score_threshold": task.score_threshold >= fixed["score_threshold"],
        "iou": task.iou == fixed["iou"],
        "max_detections": task.max_detections <= fixed["max_detections"],
        "class_agnostic": task.class_agnostic == fixed["class_agnostic"],
        "classes": classes == fixed["classes"] or is_part,
    }
    wrong = next((key for key, is_fit in fits.items() if not is_fit), None)
    if wrong is not None:
        raise JobError(
            f"task.{wrong}={getattr(task, wrong)}: the graph of form {form} was exported with "
            f"task.{wrong}={fixed[wrong]}",
            fix=f"set task.{wrong}={fixed[wrong]}, or export the model again with the other value, or without "
            "export.postprocess=nms",
        )
    return replace(task, head=YoloNmsHead.name)
