"""Selects the comparison of each task's answers. Used on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import JobError
from jobs.comparison.boxes import DETECTIONS, BoxAnswers
from jobs.comparison.classes import ClassAnswers
from jobs.comparison.pixels import PixelAnswers
from jobs.comparison.sides import answer_schema
from jobs.comparison.values import RawAnswers, RegressAnswers
from jobs.comparison.vectors import VectorAnswers

if TYPE_CHECKING:
    from actors.outputs import PublishedRun
    from jobs.comparison.answers import Answers


def answers_of(a: PublishedRun, b: PublishedRun) -> Answers:
    """Returns the comparison of the answers of two runs.

    Raises:
        JobError: their tasks differ, or their rows have nothing to compare.
    """
    tasks = [str(run.config["task"]["name"]) for run in (a, b)]
    if tasks[0] != tasks[1]:
        raise JobError(
            f"run A ({a.run_id}) is of task={tasks[0]}, and run B ({b.run_id}) of task={tasks[1]}",
            fix="compare two runs of the same task",
        )
    schemas = [answer_schema(run) for run in (a, b)]
    match tasks[0]:
        case "embed":
            return VectorAnswers(*schemas)
        case "regress":
            return RegressAnswers(*schemas)
        case "raw":
            return RawAnswers(*schemas)
        case "segment" | "detect":
            have_boxes = {DETECTIONS in schema.names for schema in schemas if len(schema)} or {tasks[0] == "detect"}
            if len(have_boxes) > 1:
                raise JobError(
                    "task=segment: one run has class maps and the other has instances",
                    fix="compare runs of the same kind of model",
                )
            return BoxAnswers() if have_boxes == {True} else PixelAnswers()
        case _:
            return ClassAnswers()
