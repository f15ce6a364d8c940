"""Compares the answers of an exported form with the reference's, by the measure of their task. Used on export, and
where a bundle is loaded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.exporting.postprocess import NMS, NONE, SCORES, SOFTMAX, Postprocess
from actors.predicting.box_steps import suppression_steps
from actors.tasks.classify import Classify
from actors.tasks.detect import Detect
from actors.tasks.detection.tile import Tile
from actors.tasks.detection.yolo_head import YoloNmsHead
from actors.tasks.embed import Embed
from actors.tasks.raw import Raw
from actors.tasks.regress import Regress
from actors.tasks.scores import Activation
from actors.tasks.segment import Segment
from actors.tasks.zero_shot import ZeroShot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import numpy as np

    from actors.engines.tolerance import Tolerance
    from actors.tasks.base import Outputs, Task
    from actors.tasks.parity import Agreement

TASKS: dict[str, type[Task]] = {
    "classify": Classify,
    "detect": Detect,
    "embed": Embed,
    "raw": Raw,
    "regress": Regress,
    "segment": Segment,
    "zero_shot": ZeroShot,
}


def task_of(fields: Mapping[str, Any]) -> Task:
    """Returns the task with these fields, as stored in ``bundle.json``. Raises `JobError` if it is unknown."""
    kind = TASKS.get(str(fields.get("name")))
    if kind is None:
        raise JobError(f"task={fields.get('name')}: a bundle cannot be compared by it", fix="update shardlens")
    if "tile" in fields:
        fields = {**fields, "tile": Tile(**fields["tile"])}
    return kind(**fields)


def steps_for(kind: str, task: Task, outputs: Outputs, labels: Sequence[str] | None) -> Postprocess:
    """Returns the steps after the network that ``export.postprocess`` names.

    Raises:
        JobError: the steps do not fit ``task``.
    """
    if kind == NONE:
        return Postprocess()
    if kind == NMS:
        return suppression_steps(task, outputs, labels)
    if not isinstance(task, Classify) or task.activation is Activation.none:
        given = f"task={task.name}" if not isinstance(task, Classify) else f"task.activation={task.activation.value}"
        raise JobError(
            f"export.postprocess={kind}: needs logits to make scores of, and the job has {given}",
            fix="omit it, or choose task=classify and the task.activation that the model needs",
        )
    task.fields(outputs, labels)
    (output,) = task.output_names(outputs)
    num_classes = 1
    for side in outputs.shapes[output]:
        num_classes *= side
    return Postprocess(kind, output, min(task.top_k, num_classes), sigmoid=task.activation is Activation.sigmoid)


def agreement(
    task: Task,
    kind: str,
    wanted: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray],
    tolerance: Tolerance,
) -> Agreement:
    """Returns the agreement of the outputs ``given`` with those ``wanted``, both after the steps of ``kind``."""
    return _measured_by(task, kind).agreement(wanted, given, tolerance)


def _measured_by(task: Task, kind: str) -> Task:
    if kind == NONE:
        return task
    if kind == SOFTMAX and isinstance(task, Classify):
        return replace(task, activation=Activation.none, output=SCORES)
    if kind == NMS and isinstance(task, Detect):
        return replace(task, head=YoloNmsHead.name)
    return Raw()
