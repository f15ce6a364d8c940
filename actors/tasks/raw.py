"""Every output tensor of the model as it is. Runs in the predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.tasks.base import Outputs


@dataclass
class Raw:
    """Gives one column an output, named as the model names it: a number, a fixed-size list for a vector, and
    Arrow's fixed-shape tensor for more axes (which other readers see as a flat list in C order). Values that are
    not finite are kept.
    """

    name: str = "raw"

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:  # noqa: ARG002
        return [pa.field(name, _type(outputs.dtypes[name], shape)) for name, shape in outputs.shapes.items()]

    def columns(
        self,
        tensors: Mapping[str, np.ndarray],
        labels: Sequence[str] | None,  # noqa: ARG002
    ) -> tuple[list[pa.Array], np.ndarray]:
        num_rows = len(next(iter(tensors.values())))
        return [_column(tensor) for tensor in tensors.values()], np.ones(num_rows, bool)


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
