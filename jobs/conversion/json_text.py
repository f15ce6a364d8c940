"""Converts Arrow arrays to JSON text, one string per value, column by column instead of value by value. Runs on the
driver.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt


def json_text(array: pa.Array) -> pa.Array:
    """Converts each value to JSON on one line, as strings without nulls.

    Floats have the fewest digits that round-trip in their own type; non-finite ones become null. Times, decimals and
    COCO run lengths become text, other binary values base64.
    """
    text = _text(array)
    return pc.fill_null(pc.if_else(pc.is_valid(array), text, pa.scalar(None, text.type)), "null")


def json_object(columns: dict[str, pa.Array]) -> pa.Array:
    """Builds JSON objects with these keys, from columns of equal lengths."""
    pieces: list[Any] = []
    for number, (key, values) in enumerate(columns.items()):
        # Each key and value is one piece, because the join itself has no separator.
        pieces += [f"{',' if number else '{'}{json.dumps(key, ensure_ascii=False)}:", json_text(values)]
    return pc.binary_join_element_wise(*pieces, "}", "")


def lists_of(values: pa.Array, offsets: np.ndarray) -> pa.Array:
    """Builds lists of consecutive ``values``; ``offsets`` has one more element than there are lists."""
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def offsets_of(lists: pa.Array) -> np.ndarray:
    """Returns the offsets of the lists in ``lists.flatten()``, in which null counts as an empty list."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Combines the column into one array."""
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def readable_masks(masks: pa.Array) -> pa.Array:
    """Converts ``counts`` of COCO run lengths, structs of ``size`` and ``counts``, to text, which is pure ASCII."""
    size, counts = (pc.struct_field(masks, name) for name in _RUN_LENGTHS)
    return pa.StructArray.from_arrays([size, pc.cast(counts, pa.string())], _RUN_LENGTHS, mask=pc.is_null(masks))


_RUN_LENGTHS = ["size", "counts"]


def _text(array: pa.Array) -> pa.Array:
    kind = array.type
    if isinstance(kind, pa.FixedShapeTensorType):
        return json_text(_nested(array))
    if pt.is_dictionary(kind):
        return json_text(array.dictionary_decode())
    if pt.is_struct(kind) and [field.name for field in kind] == _RUN_LENGTHS and pt.is_binary(kind.field(1).type):
        return json_text(readable_masks(array))
    if pt.is_struct(kind) and kind.num_fields:
        return json_object({field.name: pc.struct_field(array, [number]) for number, field in enumerate(kind)})
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        items = lists_of(json_text(array.flatten()), offsets_of(array))
        return pc.binary_join_element_wise("[", pc.binary_join(items, ","), "]", "")
    return _scalars(array)


def _scalars(array: pa.Array) -> pa.Array:
    kind = array.type
    if pt.is_floating(kind):
        return _numbers(array)
    if pt.is_integer(kind) or pt.is_boolean(kind):
        return pc.cast(array, pa.string())
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_temporal(kind) or pt.is_decimal(kind):
        return _quoted(pc.cast(array, pa.string()))
    return pa.array([json.dumps(_bare(value), ensure_ascii=False) for value in array.to_pylist()], pa.string())


def _nested(tensors: pa.Array) -> pa.Array:
    """Converts tensors to lists of lists."""
    _, *inner = tensors.type.shape
    values = tensors.storage.flatten()
    for size in reversed(inner):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    return lists_of(values, offsets_of(tensors.storage) // math.prod(inner))


def _numbers(array: pa.Array) -> pa.Array:
    array = pc.cast(array, pa.float32()) if pt.is_float16(array.type) else array
    return pc.cast(pc.if_else(pc.is_finite(array), array, pa.scalar(None, array.type)), pa.string()).fill_null("null")


def _quoted(text: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring_regex(text, _ESCAPED)).as_py():
        # Only the strings that need it: control characters are rare.
        whole = [None if value is None else json.dumps(value, ensure_ascii=False) for value in text.to_pylist()]
        return pa.array(whole, pa.string())
    return pc.binary_join_element_wise('"', text, '"', "")


_ESCAPED = r'["\\\x00-\x1f]'


def _bare(value: Any) -> Any:
    """Converts rare types, such as binary values and maps, and their contents."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(key): _bare(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bare(item) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
