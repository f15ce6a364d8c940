"""Rows as a map-style dataset for PyTorch's DataLoader. Does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence


class RowDataset:
    """Rows by number, each a dictionary: lists of numbers become arrays, all other values are Python objects.

    PyTorch's default collation converts numbers and equal-length arrays to tensors, and keeps text as lists. It rejects
    nulls and lists of varying length, such as detections.
    """

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows.combine_chunks()
        lists = (field for field in rows.schema if _is_numbers(field.type))
        self._types = {field.name: field.type.value_type.to_pandas_dtype() for field in lists}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        if not -len(self) <= number < len(self):
            raise IndexError(number)  # ends a loop over the dataset
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Returns several rows, which DataLoader requests together."""
        places = [number % len(self) for number in numbers]
        rows = self.rows.take(places).to_pylist()
        return [{name: self._value(name, value) for name, value in row.items()} for row in rows]

    def _value(self, name: str, value: Any) -> Any:
        return np.asarray(value, self._types[name]) if name in self._types and value is not None else value


def _is_numbers(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))
