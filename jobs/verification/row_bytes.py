"""Converts Arrow columns to bytes, row by row, for `jobs.verification.digest`. Equal values have equal bytes, however
the array is chunked, sliced or encoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, eq=False)
class Cells:
    """Bytes of n rows. The type, never the values, determines which of them are ``fixed``."""

    fixed: Sequence[np.ndarray]
    """uint8 (n, w): bytes of constant width, including lengths and null flags."""
    varying: Sequence[tuple[np.ndarray, np.ndarray]] = ()
    """Pairs of uint8 data and their int64 offsets (n + 1,)."""

    def rows(self) -> Iterator[bytes]:
        """Yields the bytes of each row."""
        columns = [_slices(*_flat(np.hstack(self.fixed))), *(_slices(*pair) for pair in self.varying)]
        return map(b"".join, zip(*columns, strict=True))


def cells(array: pa.Array) -> Cells:
    """Returns the bytes of one column. Nulls differ from every value, and the data under a null is ignored."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return cells(array.storage)
    if pt.is_dictionary(kind):
        return cells(array.dictionary_decode())
    if pt.is_struct(kind):
        return side_by_side([Cells([_flags(array)]), *map(cells, array.flatten())])
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return _lists(array)
    has_width = pt.is_primitive(kind) or pt.is_decimal(kind) or pt.is_fixed_size_binary(kind)
    return _numbers(array) if has_width else _texts(array)


def side_by_side(parts: Sequence[Cells]) -> Cells:
    """Joins the cells of several columns of the same rows."""
    return Cells([matrix for part in parts for matrix in part.fixed], [pair for part in parts for pair in part.varying])


def _flat(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Converts a matrix of fixed-width bytes to data and offsets."""
    return matrix.ravel(), np.arange(len(matrix) + 1) * matrix.shape[1]


def _slices(data: np.ndarray, offsets: np.ndarray) -> list[bytes]:
    whole = data.tobytes()
    bounds = offsets.tolist()
    return [whole[start:stop] for start, stop in pairwise(bounds)]


def _flags(array: pa.Array) -> np.ndarray:
    return np.asarray(pc.is_valid(array).cast(pa.uint8())).reshape(-1, 1)


def _numbers(array: pa.Array) -> Cells:
    if pt.is_boolean(array.type):
        array = array.cast(pa.uint8())
    width = array.type.bit_width // 8
    buffer = array.buffers()[1] or b""
    # A slice shares the buffers of its array, so its offset counts.
    values = np.frombuffer(buffer, np.uint8, len(array) * width, array.offset * width).reshape(len(array), width)
    flags = _flags(array)
    # In Arrow, the bytes under a null are undefined.
    return Cells([flags, values * flags if array.null_count else values])


def _texts(array: pa.Array) -> Cells:
    if not (pt.is_string(array.type) or pt.is_large_string(array.type) or pt.is_binary(array.type)):
        array = _as_texts(array)
    lengths = pc.binary_length(array).cast(pa.int64()).fill_null(-1).to_numpy()
    offsets = _offsets(lengths)
    binary = pc.fill_null(array.cast(pa.large_binary()), b"")
    if not len(binary):
        return Cells([_as_bytes(lengths)], [(np.empty(0, np.uint8), offsets)])
    first = np.frombuffer(binary.buffers()[1], np.int64)[binary.offset]
    return Cells([_as_bytes(lengths)], [(np.frombuffer(binary.buffers()[2] or b"", np.uint8)[first:], offsets)])


def _as_texts(array: pa.Array) -> pa.Array:
    """Converts rare types of kept columns to binary, or to the text of their Python value."""
    if pt.is_large_binary(array.type) or pt.is_string_view(array.type) or pt.is_binary_view(array.type):
        return array.cast(pa.large_binary())
    return pa.array([None if value is None else repr(value) for value in array.to_pylist()], pa.string())


def _lists(array: pa.Array) -> Cells:
    lengths = pc.list_value_length(array).cast(pa.int64()).fill_null(-1).to_numpy()
    items = cells(array.flatten())  # drops the data under nulls
    bounds = _offsets(lengths)
    within = [*map(_flat, items.fixed), *items.varying]
    return Cells([_as_bytes(lengths)], [(data, offsets[bounds]) for data, offsets in within])


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.maximum(lengths, 0))]).astype(np.int64)


def _as_bytes(numbers: np.ndarray) -> np.ndarray:
    # Little-endian on any machine, because digests are compared across machines.
    return numbers.astype("<i8").view(np.uint8).reshape(-1, 8)
