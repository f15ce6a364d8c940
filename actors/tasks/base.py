"""The seam between engines and tasks. A task is its own typed config; it turns output tensors into columns."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.models.output_shapes import not_counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from actors.engines.tolerance import Tolerance
    from actors.tasks.parity import Agreement


@dataclass(frozen=True)
class Outputs:
    """What a model gives, learned from one probe: for each output its shape without the first axis, and dtype."""

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype]
    uncounted: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Whole shapes of the outputs that do not hold one entry an image: no task can take them."""

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray], uncounted: Mapping[str, tuple[int, ...]] | None = None) -> Outputs:
        return cls(
            {name: tensor.shape[1:] for name, tensor in tensors.items()},
            {name: tensor.dtype for name, tensor in tensors.items()},
            uncounted or {},
        )

    def only(self, names: Sequence[str]) -> Outputs:
        """Those of these ``names``."""
        return Outputs({name: self.shapes[name] for name in names}, {name: self.dtypes[name] for name in names})

    def __str__(self) -> str:
        return ", ".join(f"{name} {shown(shape)}" for name, shape in self.shapes.items())


@dataclass
class Task(ABC):
    """Turns the outputs of a model into columns of the result. A base class, not a protocol: OmegaConf takes nothing
    else as the type of a config node.
    """

    name: str = ""
    """Its name on the command line."""

    @abstractmethod
    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:
        """The columns that `columns` will give. Raises `JobError` when model, labels and task do not fit."""

    @abstractmethod
    def wanted(self, outputs: Outputs) -> list[str]:
        """The outputs that the task works on; it never looks at others."""

    @abstractmethod
    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Raises `JobError` for answers to made-up images which show that model and task do not belong together."""

    @abstractmethod
    def columns(
        self, tensors: Mapping[str, np.ndarray], labels: Sequence[str] | None
    ) -> tuple[list[pa.Array], np.ndarray]:
        """Columns for n rows, in the order of `fields`, and a bool array (n,) of the rows that are valid.

        What stands in the columns for an invalid row is of no meaning.
        """

    @abstractmethod
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


def pick_output(outputs: Outputs, wanted: str | None, *, task: str) -> str:
    """The name of the one output with a vector an image that ``task`` works on: of shape (n, c), or with further axes
    of length 1, as in the (n, c, 1, 1) of fully convolutional networks.

    Raises:
        JobError: there is none, more than one and ``task.output`` names none of them, or it holds no numbers.
    """
    if wanted is not None and wanted in outputs.uncounted:
        raise not_counted({wanted: outputs.uncounted[wanted]}, PROBE_SIZE)
    names = [name for name, shape in outputs.shapes.items() if len(shape) == 1]
    names += [name for name, shape in outputs.shapes.items() if len(shape) > 1 and _is_vector(shape)]
    others = f"choose one of {names}" if names else "choose task=raw, which takes outputs of any shape"
    if wanted is not None and wanted not in names:
        raise JobError(
            f"task.output={wanted}: {task} needs an output of that name with one vector an image; the model gives "
            f"{outputs}",
            cure=others,
        )
    flat = [name for name in names if len(outputs.shapes[name]) == 1]
    name = wanted or next(iter(flat or names), "")
    if not name or (wanted is None and len(flat or names) > 1):
        raise JobError(
            f"task={task}: needs one output with one vector an image, and the model gives {outputs}",
            cure=f"name one with task.output, of {names}" if names else others,
        )
    check_values(outputs, name)
    return name


def check_values(outputs: Outputs, name: str) -> None:
    """Raises `JobError` where the output ``name`` has no values that a column can hold."""
    shape, dtype = outputs.shapes[name], outputs.dtypes[name]
    if dtype.kind not in _NUMBERS:
        raise JobError(
            f"the model's output {name} is {_KINDS.get(dtype.kind, dtype)}, not real numbers",
            cure="choose another with task.output, or take a model without that output",
        )
    if 0 in shape:
        raise JobError(
            f"the model's output {name} has shape {shown(shape)}: it holds no values for a blank image",
            cure="take a model that gives every image the same number of values, or choose another output with "
            "task=classify or task=embed and task.output",
        )


def shown(shape: tuple[int, ...]) -> str:
    """The shape of an output for a message, such as ``(n, 10)``."""
    return f"({', '.join(map(str, ('n', *shape)))})" if shape else "(n,)"


def vectors(tensor: np.ndarray) -> np.ndarray:
    """An output that `pick_output` named, as float32 of shape (n, c)."""
    return tensor.reshape(len(tensor), math.prod(tensor.shape[1:])).astype("float32", copy=False)


_NUMBERS = "biuf"
_KINDS = {"c": "complex numbers", "O": "text or objects", "U": "text", "S": "bytes"}
PROBE_SIZE = 2
"""Images of each batch that a predictor tries its model on."""


def _is_vector(shape: tuple[int, ...]) -> bool:
    return len(shape) == 1 or sum(length != 1 for length in shape) <= 1
