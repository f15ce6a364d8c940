"""The seam between engines and tasks. A task is its own typed config; it turns output tensors into columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from actors.agreement import Agreement
    from actors.tolerance import Tolerance


@dataclass(frozen=True)
class Outputs:
    """What a model gives, learned from one probe: for each output its shape without the first axis, and dtype."""

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype]

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Outputs:
        return cls(
            {name: tensor.shape[1:] for name, tensor in tensors.items()},
            {name: tensor.dtype for name, tensor in tensors.items()},
        )

    def __str__(self) -> str:
        return ", ".join(f"{name} {(*('n',), *shape)}".replace("'", "") for name, shape in self.shapes.items())


class Task(Protocol):
    """Turns the outputs of a model into columns of the result."""

    name: str

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:
        """The columns that `columns` will give. Raises `JobError` when model, labels and task do not fit."""

    def columns(
        self, tensors: Mapping[str, np.ndarray], labels: Sequence[str] | None
    ) -> tuple[list[pa.Array], np.ndarray]:
        """Columns for n rows, in the order of `fields`, and a bool array (n,) of the rows that are valid.

        What stands in the columns for an invalid row is of no meaning.
        """

    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """How far the answers that `columns` makes of ``candidate`` are from those that it makes of ``reference``.

        Args:
            reference: outputs for n images, such as `columns` takes, from the engine that is right.
            candidate: those of another engine for the same images.
            tolerance: what the task holds them against. An output that is missing or has another shape is a breach,
                and so is an image without a finite answer that has one in the reference, or when there is no image.
        """


def pick_output(outputs: Outputs, wanted: str | None, *, rank: int, task: str) -> str:
    """The name of the one output of ``rank`` axes beside the first that ``task`` works on.

    Raises:
        JobError: there is none, or more than one and ``task.output`` names none of them.
    """
    names = [name for name, shape in outputs.shapes.items() if len(shape) == rank]
    if wanted is not None:
        if wanted in names:
            return wanted
        raise JobError(
            f"task.output={wanted}: {task} needs an output of {rank + 1} axes of that name; the model gives {outputs}",
            cure=f"choose one of {names}" if names else "choose task=raw, which takes outputs of any shape",
        )
    if len(names) == 1:
        return names[0]
    raise JobError(
        f"task={task}: needs one output of {rank + 1} axes, and the model gives {outputs}",
        cure=f"name one with task.output, of {names}" if names else "choose task=raw, which takes outputs of any shape",
    )
