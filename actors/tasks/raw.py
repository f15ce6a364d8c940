"""Every output tensor of the model as it is. Runs in the predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.field_types import coerce_fields
from actors.models.output_shapes import not_counted
from actors.tasks.base import PROBE_SIZE, Task, check_values
from actors.tasks.parity import Comparison, differences, lengths, ratios, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.engines.tolerance import Tolerance
    from actors.tasks.base import Outputs
    from actors.tasks.parity import Agreement


@dataclass
class Raw(Task):
    """Gives one column an output, named as the model names it: a number, a fixed-size list for a vector, and
    Arrow's fixed-shape tensor for more axes (which other readers see as a flat list in C order). Values that are
    not finite are kept.
    """

    name: str = "raw"

    def __post_init__(self) -> None:
        coerce_fields(self, "task")

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:  # noqa: ARG002
        if outputs.uncounted:
            raise not_counted(outputs.uncounted, PROBE_SIZE)
        for name in outputs.shapes:
            check_values(outputs, name)
        return [pa.field(name, _type(outputs.dtypes[name], shape)) for name, shape in outputs.shapes.items()]

    def wanted(self, outputs: Outputs) -> list[str]:
        return list(outputs.shapes)

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Whatever a model gives is wanted."""

    def columns(
        self,
        tensors: Mapping[str, np.ndarray],
        labels: Sequence[str] | None,  # noqa: ARG002
    ) -> tuple[list[pa.Array], np.ndarray]:
        num_rows = len(next(iter(tensors.values())))
        return [_column(tensor) for tensor in tensors.values()], np.ones(num_rows, bool)

    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """See `actors.tasks.base.Task`. Values that are not finite must be the same ones. Whole numbers and booleans
        come of comparing, as an argmax does, and become others at near ties, which nothing here can tell: as large a
        share of them may be others as of the best classes of task=classify.
        """
        comparison = Comparison(tolerance)
        if comparison.has_outputs(reference, candidate, reference):
            for name, wanted in reference.items():
                places = comparison.finite(name, *_answered(wanted, candidate[name]))
                if len(places):
                    compare = _compare_real if wanted.dtype.kind == "f" else _compare_whole
                    compare(comparison, name, wanted, candidate[name], places)
        return comparison.result


def _type(dtype: np.dtype, shape: tuple[int, ...]) -> pa.DataType:
    value = pa.from_numpy_dtype(dtype)
    if not shape:
        return value
    return pa.list_(value, shape[0]) if len(shape) == 1 else pa.fixed_shape_tensor(value, shape)


def _column(tensor: np.ndarray) -> pa.Array:
    values, shape = pa.array(np.ascontiguousarray(tensor).ravel()), tensor.shape[1:]
    if not shape:
        return values
    lists = pa.FixedSizeListArray.from_arrays(values, int(np.prod(shape)))
    return lists if len(shape) == 1 else pa.ExtensionArray.from_storage(_type(tensor.dtype, shape), lists)


def _answered(wanted: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two bool arrays (n,): the images with a finite value in the reference, and the same save for those whose values
    are not finite in the same places, which are the other way round.
    """
    has_value = np.array([np.isfinite(answer).any() for answer in wanted], bool)
    pairs = zip(wanted, given, strict=True)
    is_like = [np.array_equal(_odd(answer), _odd(other), equal_nan=True) for answer, other in pairs]
    return has_value, has_value == np.array(is_like, bool)


def _odd(answer: np.ndarray) -> np.ndarray:
    """The values that are not finite, 0 in place of the others."""
    return np.where(np.isfinite(answer), 0, answer)


def _compare_real(comparison: Comparison, name: str, wanted: np.ndarray, given: np.ndarray, places: np.ndarray) -> None:
    """One that is small by chance makes no error large: the length of an answer counts as that of the usual one, at
    the least.
    """
    wanted, given = (np.nan_to_num(tensor[places], nan=0, posinf=0, neginf=0) for tensor in (wanted, given))
    errors, size = differences(wanted, given), lengths(wanted)
    relative = ratios(errors, np.maximum(size, np.sqrt(np.square(size).mean())))
    said = f"output {name} of image {places[relative.argmax()]} is off by {relative.max():.3g} of its length"
    comparison.at_most("relative_error", relative.max(), said)
    apart = ratios(errors, spread(wanted))
    said = f"output {name} of image {places[apart.argmax()]} is off by {apart.max():.3g} of what tells images apart"
    comparison.at_most("output_error", apart.max(), said)


def _compare_whole(
    comparison: Comparison, name: str, wanted: np.ndarray, given: np.ndarray, places: np.ndarray
) -> None:
    differs = wanted[places] != given[places]
    said = f"output {name}: {differs.sum()} of {differs.size} values are others"
    comparison.flips("equal_elements", int(differs.sum()), differs.size, said)
