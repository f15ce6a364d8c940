"""Checks the outputs of each batch against those of the trial batch. Runs in the predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.tasks.base import Outputs, shape_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from actors.engines.base import Pending


class OutputShapeError(Exception):
    """An output differs in shape or dtype from the trial batch."""


@dataclass(frozen=True)
class Expected:
    """A batch in flight, reduced to the expected outputs."""

    pending: Pending
    outputs: Outputs

    def result(self) -> dict[str, np.ndarray]:
        """See `actors.engines.base.Pending`. Raises `OutputShapeError`."""
        return only_expected(self.pending.result(), self.outputs)


def only_expected(tensors: Mapping[str, np.ndarray], expected: Outputs) -> dict[str, np.ndarray]:
    """Selects the ``expected`` outputs from ``tensors``. Raises `OutputShapeError` if one is missing or differs."""
    given = Outputs.of(tensors)
    for name, shape in expected.shapes.items():
        if name not in tensors:
            raise OutputShapeError(f"the model's output {name} is missing here; it gives {given}")
        seen = (given.shapes[name], given.dtypes[name])
        if seen != (shape, expected.dtypes[name]):
            raise OutputShapeError(
                f"the model's output {name} has shape {shape_text(shape)} of {expected.dtypes[name]} for a blank "
                f"image, and {shape_text(seen[0])} of {seen[1]} here"
            )
    return {name: tensors[name] for name in expected.shapes}


def check_consistent(tensors: Mapping[str, np.ndarray], expected: Outputs) -> dict[str, np.ndarray]:
    """Does the same as `only_expected` for synthetic images, for which a difference is a `JobError`."""
    try:
        return only_expected(tensors, expected)
    except OutputShapeError as error:
        raise JobError(str(error), fix=SHAPE_FIX) from None


SHAPE_FIX = "use a model that gives the same number of values for every image, padded or cut to a fixed number"
