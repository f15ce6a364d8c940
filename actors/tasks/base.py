"""The interface between engines and tasks.

A task is its own typed config. It defines its columns, the agreement of two engines on them, and its part of the
summary; pictures of its rows, for reports, also belong here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.models.labels import read_labels
from actors.models.output_shapes import not_counted
from actors.writing.picks import Ranking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from actors.engines.tolerance import Tolerance
    from actors.models.spec import Model
    from actors.tasks.context import BatchContext
    from actors.tasks.detection.tile import Tile
    from actors.tasks.parity import Agreement


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model, found with one probe: shape without the first axis, and dtype, by name."""

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype]
    uncounted: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Full shapes of the outputs without one entry per image, which no task can use."""
    input_hw: tuple[int, int] | None = None
    """Height and width of the model's input, if known: they determine the number of boxes of a detector."""

    @classmethod
    def of(
        cls,
        tensors: Mapping[str, np.ndarray],
        uncounted: Mapping[str, tuple[int, ...]] | None = None,
        input_hw: tuple[int, int] | None = None,
    ) -> Outputs:
        return cls(
            {name: tensor.shape[1:] for name, tensor in tensors.items()},
            {name: tensor.dtype for name, tensor in tensors.items()},
            uncounted or {},
            input_hw,
        )

    def select(self, names: Sequence[str]) -> Outputs:
        """Keeps the outputs with these ``names``."""
        shapes = {name: self.shapes[name] for name in names}
        return Outputs(shapes, {name: self.dtypes[name] for name in names}, input_hw=self.input_hw)

    def __str__(self) -> str:
        return ", ".join(f"{name} {shape_text(shape)}" for name, shape in self.shapes.items())


@dataclass
class Task(ABC):
    """Converts the outputs of a model to result columns, and measures them.

    A base class rather than a protocol, which OmegaConf does not accept as the type of a config node.
    """

    name: str = ""
    """Name of the task on the command line."""

    @abstractmethod
    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:
        """Returns the fields of the columns. Raises `JobError` if model, labels and task do not fit together."""

    @abstractmethod
    def output_names(self, outputs: Outputs) -> list[str]:
        """Returns the names of the outputs that the task reads; it ignores all others."""

    @abstractmethod
    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Raises `JobError` if the outputs for synthetic images show that model and task do not fit together."""

    @abstractmethod
    def columns(self, tensors: Mapping[str, np.ndarray], context: BatchContext) -> tuple[list[pa.Array], np.ndarray]:
        """Converts the outputs for n images.

        Args:
            tensors: the outputs named by `output_names`, each with n entries.
            context: labels, source image sizes, and the geometry that maps boxes and masks back to the source images.

        Returns:
            The columns, in the order of `fields`, and a bool array (n,) that is true for valid rows. Values in invalid
            rows are meaningless.
        """

    @abstractmethod
    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """Compares the answers of two engines: the columns that follow from ``reference`` and ``candidate``.

        Args:
            reference: outputs of the reference engine for n images, as for `columns`.
            candidate: outputs of another engine for the same images.
            tolerance: the limits. An output that is missing or has another shape is a breach, as is an image whose
                answer is finite only in the reference, and a comparison without images.
        """

    @abstractmethod
    def counts(self, table: pa.Table) -> Mapping[str, int]:
        """Returns counts for the summary of the rows of a part file, which its receipt commits together with the rows.

        Counters add up over parts, so they are whole numbers from 0, never averages. A name starts with its measure, as
        in ``accuracy/num_correct``.

        Args:
            table: rows from `Predictor.predict_block`, with the known labels in `TARGET` if the dataset has any.
        """

    def rankings(self, table: pa.Table) -> Sequence[Ranking]:  # noqa: ARG002
        """Returns orders of the rows of a part file, used to pick a few to show on pages; by default a random sample.

        Args:
            table: rows without an error from `Predictor.predict_block`, as for `counts`.
        """
        return [Ranking("sample")]

    @property
    def tiling(self) -> Tile | None:
        """The tiles into which the task cuts images; None if it processes whole images."""
        return None

    def prepare(self, model: Model) -> None:  # noqa: B027
        """Prepares what the task needs besides the outputs of ``model``: once, on the driver, or where a Python caller
        creates a predictor. Workers receive it with the task. Raises `JobError` if preparation fails.
        """

    def class_names(self, model: Model) -> list[str] | None:
        """Returns the class names in order, if there are any: the labels of ``model``. Raises `JobError`."""
        return read_labels(model)

    def identity(self) -> dict[str, Any]:
        """Returns what determines the columns besides the model's outputs, as plain values for the fingerprint."""
        return asdict(self)

    def summary(self, counters: Mapping[str, int]) -> list[tuple[str, str]]:  # noqa: ARG002
        """Returns lines of the printed report about the predictions: a heading of at most ten characters, and a text.

        Args:
            counters: the counts of a run, summed by name.
        """
        return []


def pick_output(outputs: Outputs, wanted: str | None, *, task: str) -> str:
    """Finds the output with one vector per image that ``task`` reads: of shape (n, c), or with further axes of length
    1, such as (n, c, 1, 1) from fully convolutional networks.

    Raises:
        JobError: no output fits, several fit and ``task.output`` names none of them, or it does not hold real numbers.
    """
    if wanted is not None and wanted in outputs.uncounted:
        raise not_counted({wanted: outputs.uncounted[wanted]}, PROBE_SIZE)
    names = [name for name, shape in outputs.shapes.items() if len(shape) == 1]
    names += [name for name, shape in outputs.shapes.items() if len(shape) > 1 and _is_vector(shape)]
    others = f"choose one of {names}" if names else "choose task=raw, which takes outputs of any shape"
    if wanted is not None and wanted not in names:
        raise JobError(
            f"task.output={wanted}: {task} needs an output of that name with one vector per image; the model gives "
            f"{outputs}",
            fix=others,
        )
    # If a network has both, (n, c) wins over (n, c, 1, 1).
    flat = [name for name in names if len(outputs.shapes[name]) == 1]
    name = wanted or next(iter(flat or names), "")
    if not name or (wanted is None and len(flat or names) > 1):
        raise JobError(
            f"task={task}: needs one output with one vector per image, and the model gives {outputs}",
            fix=f"set task.output to one of {names}" if names else others,
        )
    check_values(outputs, name)
    return name


def check_values(outputs: Outputs, name: str) -> None:
    """Raises `JobError` if a column cannot hold the values of the output ``name``."""
    shape, dtype = outputs.shapes[name], outputs.dtypes[name]
    if dtype.kind not in _NUMBERS:
        raise JobError(
            f"the model's output {name} is {_KINDS.get(dtype.kind, dtype)}, not real numbers",
            fix="choose another output with task.output, or use a model without that output",
        )
    if 0 in shape:
        raise JobError(
            f"the model's output {name} has shape {shape_text(shape)}: it holds no values for a blank image",
            fix="use a model that gives every image the same number of values, or choose another output with "
            "task=classify or task=embed and task.output",
        )


def shape_text(shape: tuple[int, ...]) -> str:
    """Formats the shape of an output for a message, such as ``(n, 10)``."""
    return f"({', '.join(map(str, ('n', *shape)))})" if shape else "(n,)"


def vectors(tensor: np.ndarray) -> np.ndarray:
    """Flattens an output found by `pick_output` to float32 of shape (n, c)."""
    return tensor.reshape(len(tensor), math.prod(tensor.shape[1:])).astype("float32", copy=False)


_NUMBERS = "biuf"  # kinds of dtype: booleans, integers and floats, which Arrow and Parquet can hold
_KINDS = {"c": "complex numbers", "O": "text or objects", "U": "text", "S": "bytes"}
PROBE_SIZE = 2
"""Images in each synthetic batch on which a predictor tries its model: with a single image, an output without an entry
per image would look as if it had one."""


def _is_vector(shape: tuple[int, ...]) -> bool:
    return len(shape) == 1 or sum(length != 1 for length in shape) <= 1
