"""Task ``regress``: named numbers, such as an aesthetic score, an age or key points. Runs in the predictor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.errors import JobError
from actors.field_types import coerce_fields
from actors.models.output_shapes import not_counted
from actors.tasks.base import PROBE_SIZE, Outputs, Task, check_values, vectors
from actors.tasks.parity import Comparison, differences, ratios, spread
from actors.tasks.residuals import count_residuals, only_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.engines.tolerance import Tolerance
    from actors.tasks.context import BatchContext
    from actors.tasks.parity import Agreement


class Points(Enum):
    """Unit of the key points that a model returns."""

    none = "none"
    pixels = "pixels"
    shares = "shares"


@dataclass
class Regress(Task):
    """Writes float32 columns: a number, or a fixed-size list of several. A row with a value that is not finite becomes
    an error row.
    """

    name: str = "regress"
    names: Any = None
    """Column names, in the order of the values: a list with one name per value, or a mapping from names to numbers of
    values, such as {age: 1, keypoints: 34}, where more than one value makes a fixed-size list. null makes one column
    per output, with its name.
    """
    output: Any = None
    """Name of the output that holds the values, or a list of names, whose values are concatenated; outputs of any shape
    are flattened. null uses all outputs.
    """
    scale: Any = 1.0
    """Factor for the values: a number, or a list with one number per column."""
    offset: Any = 0.0
    """Added to the values after ``scale``: a number, or a list with one per column. A model trained on (age - 40) / 15
    needs scale=15 and offset=40.
    """
    points: Points = Points.none
    """Unit of list columns after ``scale`` and ``offset``, if they hold key points as x, y, x, y and so on: pixels of
    the model's input, or fractions of its width and height. Both are mapped to pixels of the upright source image; none
    keeps all values.
    """

    def __post_init__(self) -> None:
        coerce_fields(self, "task")
        self.names = _plain(self.names)
        self.output = _plain(self.output)
        self.scale, self.offset = _plain(self.scale), _plain(self.offset)

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:  # noqa: ARG002
        layout = self._layout(outputs)
        for key in ("scale", "offset"):
            self._factors(key, layout)
        odd = [name for name, length in layout.items() if length > 1 and length % 2]
        if self.points is not Points.none and odd:
            raise JobError(
                f"task.points={self.points.value}: column {odd[0]} has {layout[odd[0]]} values, not pairs of x and y",
                fix="give keypoints their own columns in task.names, separate from their scores",
            )
        return [pa.field(name, _type(length)) for name, length in layout.items()]

    def output_names(self, outputs: Outputs) -> list[str]:
        wanted = [self.output] if isinstance(self.output, str) else self.output
        names = list(outputs.shapes) if wanted is None else wanted
        if not isinstance(names, list) or not names or any(not isinstance(name, str) for name in names):
            raise JobError(f"task.output={self.output!r}: not a name", fix=f"choose from {list(outputs.shapes)}")
        for name in names if wanted is not None else outputs.uncounted:
            if name in outputs.uncounted:
                raise not_counted({name: outputs.uncounted[name]}, PROBE_SIZE)
            if name not in outputs.shapes:
                raise JobError(f"task.output={name}: the model gives {outputs}", fix="name one of these outputs")
        if len(set(names)) < len(names):
            raise JobError(f"task.output={names}: names an output twice", fix="name each output once")
        return names

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Accepts everything: any number may be an answer."""

    def columns(self, tensors: Mapping[str, np.ndarray], context: BatchContext) -> tuple[list[pa.Array], np.ndarray]:
        parts = self._parts(tensors)
        valid = np.logical_and.reduce([np.isfinite(part).all(axis=1) for part in parts.values()])
        if self.points is not Points.none:
            parts = {name: self._in_source(part, context) for name, part in parts.items()}
        return [_column(part) for part in parts.values()], valid

    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """See `actors.tasks.base.Task`. Each column is compared with its own spread: an age would hide a score."""
        comparison = Comparison(tolerance)
        if comparison.has_outputs(reference, candidate, self.output_names(Outputs.of(reference))):
            wanted, given = self._parts(reference), self._parts(candidate)
            for name, part in wanted.items():
                finite = (np.isfinite(one).all(axis=1) for one in (part, given[name]))
                places = comparison.finite(name, *finite)
                if len(places):
                    _compare(comparison, name, part[places], given[name][places], places)
        return comparison.result

    def counts(self, table: pa.Table) -> Mapping[str, int]:
        """Counts distances to known numbers, if there is exactly one column with a single number to compare."""
        named = [name for name, length in self._named().items() if length == 1] if self.names is not None else []
        column = named[0] if len(named) == 1 else only_number(table)
        return count_residuals(table, column) if column else {}

    def _layout(self, outputs: Outputs) -> dict[str, int]:
        """Returns the number of values of each column, in order."""
        read = self.output_names(outputs)
        for name in read:
            check_values(outputs, name)
        lengths = {name: math.prod(outputs.shapes[name]) for name in read}
        layout = lengths if self.names is None else self._named()
        if sum(layout.values()) != sum(lengths.values()):
            raise JobError(
                f"task.names: its columns hold {sum(layout.values())} values, and the model gives "
                f"{outputs.select(read)}",
                fix="name every value, such as task.names=[age,score] or task.names={age: 1, keypoints: 34}; "
                "task.output chooses outputs",
            )
        return layout

    def _named(self) -> dict[str, int]:
        """Returns the columns of ``names``."""
        pairs = (
            list(self.names.items()) if isinstance(self.names, dict) else [(name, 1) for name in _listed(self.names)]
        )
        for name, length in pairs:
            if not isinstance(name, str) or not name or not isinstance(length, int) or length < 1:
                raise JobError(
                    f"task.names={self.names!r}: {name!r}: {length!r} is not a name and a number of values from 1",
                    fix="give a list of names, or a mapping such as {age: 1, keypoints: 34}",
                )
        folded = [name.lower() for name, _ in pairs]  # SQL engines ignore case
        if twice := next((name for name in folded if folded.count(name) > 1), None):
            raise JobError(f"task.names: two columns have the name {twice}", fix="give each column a unique name")
        return dict(pairs)

    def _factors(self, key: str, layout: Mapping[str, int]) -> list[float]:
        """Returns one number per column, from the field ``key``."""
        given = getattr(self, key)
        factors = [given] * len(layout) if isinstance(given, int | float) else _listed(given)
        if len(factors) != len(layout) or not all(map(_is_finite, factors)):
            raise JobError(
                f"task.{key}={given!r}: neither a number nor a list with one for each of the columns {list(layout)}",
                fix=f"give one number for all columns, or {len(layout)} in their order",
            )
        return [float(factor) for factor in factors]

    def _parts(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the values of each column, float32 (n, length)."""
        outputs = Outputs.of(tensors)
        layout = self._layout(outputs)
        values = np.concatenate([vectors(tensors[name]) for name in self.output_names(outputs)], axis=1)
        parts = np.split(values, np.cumsum(list(layout.values()))[:-1], axis=1)
        scales, offsets = self._factors("scale", layout), self._factors("offset", layout)
        with np.errstate(over="ignore", invalid="ignore"):  # callers detect non-finite values
            moved = [part * scale + offset for part, scale, offset in zip(parts, scales, offsets, strict=True)]
        return {name: part.astype(np.float32) for name, part in zip(layout, moved, strict=True)}

    def _in_source(self, part: np.ndarray, context: BatchContext) -> np.ndarray:
        """Returns key points (n, 2 * m) in source pixels, not clipped to the images; single values are unchanged."""
        if part.shape[1] == 1:
            return part
        points = part.reshape(len(part), -1, 2).astype(np.float64)
        if self.points is Points.shares:
            points *= context.preprocess.size[::-1]
        geometry = context.geometry
        points = points * geometry.scale[:, None] + geometry.offset[:, None]
        return np.asarray(points.reshape(part.shape), np.float32)


def _plain(value: Any) -> Any:
    """Converts sequences and mappings from OmegaConf or a caller to Python lists and dictionaries."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, list | tuple) else value


def _listed(value: Any) -> list[Any]:
    return [value] if not isinstance(value, list) else value


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _type(length: int) -> pa.DataType:
    return pa.float32() if length == 1 else pa.list_(pa.float32(), length)


def _column(part: np.ndarray) -> pa.Array:
    values = pa.array(np.ascontiguousarray(part).ravel())
    return values if part.shape[1] == 1 else pa.FixedSizeListArray.from_arrays(values, part.shape[1])


def _compare(comparison: Comparison, name: str, wanted: np.ndarray, given: np.ndarray, places: np.ndarray) -> None:
    """Compares the values (n, length) of the column ``name``, for the images at ``places``."""
    errors = ratios(differences(wanted, given), spread(wanted))
    message = (
        f"column {name} of image {places[errors.argmax()]} is off by {errors.max():.3g} of the spread between images"
    )
    comparison.at_most("output_error", errors.max(), message)
