"""Holds what a model gives to what it gave when it was tried. Runs in the predictor, around each batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.tasks.base import Outputs, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from actors.engines.base import Pending


class OutputShapeError(Exception):
    """An output differs in shape or type from what it was at first."""


@dataclass(frozen=True)
class Expected:
    """Images on their way, of whose outputs only the expected ones are wanted."""

    pending: Pending
    outputs: Outputs

    def result(self) -> dict[str, np.ndarray]:
        """See `actors.engines.base.Pending`. Raises `OutputShapeError`."""
        return only_expected(self.pending.result(), self.outputs)


def only_expected(tensors: Mapping[str, np.ndarray], expected: Outputs) -> dict[str, np.ndarray]:
    """The ``expected`` outputs of ``tensors``. Raises `OutputShapeError` where one is missing or another one."""
    given = Outputs.of(tensors)
    for name, shape in expected.shapes.items():
        if name not in tensors:
            raise OutputShapeError(f"the model gave an output {name} at first, and none here; it gives {given}")
        seen = (given.shapes[name], given.dtypes[name])
        if seen != (shape, expected.dtypes[name]):
            raise OutputShapeError(
                f"the model's output {name} has shape {shown(shape)} of {expected.dtypes[name]} for a blank image, "
                f"and {shown(seen[0])} of {seen[1]} here"
            )
    return {name: tensors[name] for name in expected.shapes}


def check_alike(tensors: Mapping[str, np.ndarray], expected: Outputs) -> dict[str, np.ndarray]:
    """`only_expected`, before there are images of a user: a difference is a `JobError`."""
    try:
        return only_expected(tensors, expected)
    except OutputShapeError as error:
        raise JobError(str(error), cure=SHAPE_CURE) from None


SHAPE_CURE = "take a model that gives the same number of values for every image, padded or cut to a fixed number"
