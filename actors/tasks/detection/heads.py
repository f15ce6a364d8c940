"""Detector heads by name, and the choice among them by the names and shapes of a model's outputs."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.tasks.detection.detr_head import DetrHead, SigmoidDetrHead
from actors.tasks.detection.padded_head import PaddedHead
from actors.tasks.detection.yolo_head import YOLO_HEADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.tasks.base import Outputs
    from actors.tasks.detection.head import Head

LOG = logging.getLogger("shardlens")
AUTO = "auto"
HEADS: dict[str, Head] = {head.name: head for head in (*YOLO_HEADS, PaddedHead(), DetrHead(), SigmoidDetrHead())}
"""All heads by the value of ``task.head`` that selects them."""


def head_for(name: str, outputs: Outputs, labels: Sequence[str] | None) -> Head:
    """Returns the head called ``name``, or, for auto, the only one that fits the outputs, which is logged.

    Raises:
        JobError: no head has this name, it does not fit outputs and labels, or several heads fit.
    """
    if name != AUTO and name not in HEADS:
        raise JobError(f"task.head={name}: no such head", fix=f"choose one of {', '.join([AUTO, *HEADS])}")
    asked = list(HEADS.values()) if name == AUTO else [HEADS[name]]
    fitting = recognising(asked, outputs, labels)
    if len(fitting) == 1:
        if name == AUTO:
            _tell(fitting[0].name, str(outputs))
        return fitting[0]
    if fitting:
        names = [head.name for head in fitting]
        raise JobError(
            f"task.head=auto: outputs {outputs} may be of {' or '.join(names)}",
            fix=f"set task.head={names[0]}, or the one used for the export; setting model.labels may also help",
        )
    if labels is not None and recognising(asked, outputs, None):
        raise JobError(
            f"model.labels: {len(labels)} labels do not fit the classes of a model with outputs {outputs}, which is "
            f"{' or '.join(f'{head.name}, {head.layout}' for head in recognising(asked, outputs, None))}",
            fix="give one label for each class, in the order of the classes",
        )
    layouts = "; ".join(f"{head.name}: {head.layout}" for head in asked)
    raise JobError(
        f"task.head={name}: does not fit a model with outputs {outputs}",
        fix=f"use a detector with outputs of {layouts}; or task=raw, which takes outputs of any shape",
    )


def recognising(heads: Sequence[Head], outputs: Outputs, labels: Sequence[str] | None) -> list[Head]:
    """Returns the heads that fit; if several do, those for which the number of boxes is most usual."""
    fitting = [head for head in heads if head.recognises(outputs, labels)]
    ranks = [head.plausibility(outputs) for head in fitting]
    return [head for head, rank in zip(fitting, ranks, strict=True) if rank == max(ranks)]


@cache  # once per process: fields are requested several times
def _tell(name: str, outputs: str) -> None:
    LOG.info("task.head=auto: took %s for a model with outputs %s", name, outputs)
