"""Task ``raw``: every output tensor of the model, unchanged. Runs in the predictor."""

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
    from actors.tasks.context import BatchContext
    from actors.tasks.parity import Agreement


@dataclass
class Raw(Task):
    """Writes one column per output, with the model's name for it: a number, a fixed-size list for a vector, and
    Arrow's fixed-shape tensor for more axes (which other readers see as a flat list in C order). Keeps values that are
    not finite.
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

    def output_names(self, outputs: Outputs) -> list[str]:
        return list(outputs.shapes)

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Accepts any output."""

    def columns(
        self,
        tensors: Mapping[str, np.ndarray],
        context: BatchContext,  # noqa: ARG002
    ) -> tuple[list[pa.Array], np.ndarray]:
        # Nothing is invalid: NaN and infinity may be answers of a raw output.
        num_rows = len(next(iter(tensors.values())))
        return [_column(tensor) for tensor in tensors.values()], np.ones(num_rows, bool)

    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """See `actors.tasks.base.Task`. Non-finite values must be the same in both. Integers and booleans usually come
        from a comparison, such as argmax, and flip at near ties, which cannot be recognised here; the share that may
        differ is that of the best classes in task=classify.
        """
        comparison = Comparison(tolerance)
        if comparison.has_outputs(reference, candidate, reference):
            for name, wanted in reference.items():
                places = comparison.finite(name, *_answered(wanted, candidate[name]))
                if len(places):
                    compare = _compare_real if wanted.dtype.kind == "f" else _compare_whole
                    compare(comparison, name, wanted, candidate[name], places)
        return comparison.result

    def counts(self, table: pa.Table) -> dict[str, int]:  # noqa: ARG002
        return {}


def _type(dtype: np.dtype, shape: tuple[int, ...]) -> pa.DataType:
    value = pa.from_numpy_dtype(dtype)
    if not shape:
        return value
    return pa.list_(value, shape[0]) if len(shape) == 1 else pa.fixed_shape_tensor(value, shape)


def _column(tensor: np.ndarray) -> pa.Array:
    values, shape = pa.array(np.ascontiguousarray(tensor).ravel()), tensor.shape[1:]
    if not shape:
        return values
    # Parquet has no tensor type: Arrow stores tensors as lists and restores the shape from its own metadata.
    lists = pa.FixedSizeListArray.from_arrays(values, int(np.prod(shape)))
    return lists if len(shape) == 1 else pa.ExtensionArray.from_storage(_type(tensor.dtype, shape), lists)


def _answered(wanted: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns two bool arrays (n,): true for images with a finite value in the reference, and the same array, inverted
    for images in which the positions of non-finite values differ.
    """
    has_value = np.array([np.isfinite(answer).any() for answer in wanted], bool)
    pairs = zip(wanted, given, strict=True)
    is_like = [np.array_equal(_odd(answer), _odd(other), equal_nan=True) for answer, other in pairs]
    return has_value, has_value == np.array(is_like, bool)


def _odd(answer: np.ndarray) -> np.ndarray:
    """Returns the non-finite values, with 0 in place of the others."""
    return np.where(np.isfinite(answer), 0, answer)


def _compare_real(comparison: Comparison, name: str, wanted: np.ndarray, given: np.ndarray, places: np.ndarray) -> None:
    """Compares real outputs. An answer is treated as at least of the usual length, so that a small answer does not make
    a small error large.
    """
    wanted, given = (np.nan_to_num(tensor[places], nan=0, posinf=0, neginf=0) for tensor in (wanted, given))
    errors, size = differences(wanted, given), lengths(wanted)
    relative = ratios(errors, np.maximum(size, np.sqrt(np.square(size).mean())))
    message = f"output {name} of image {places[relative.argmax()]} is off by {relative.max():.3g} of its length"
    comparison.at_most("relative_error", relative.max(), message)
    apart = ratios(errors, spread(wanted))
    message = (
        f"output {name} of image {places[apart.argmax()]} is off by {apart.max():.3g} of the spread between images"
    )
    comparison.at_most("output_error", apart.max(), message)


def _compare_whole(
    comparison: Comparison, name: str, wanted: np.ndarray, given: np.ndarray, places: np.ndarray
) -> None:
    differs = wanted[places] != given[places]
    message = f"output {name}: {differs.sum()} of {differs.size} values differ"
    comparison.flips("equal_elements", int(differs.sum()), differs.size, message)
