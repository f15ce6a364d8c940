"""JSON text of Arrow arrays, one text a value, made column by column instead of value by value. Runs on the driver."""

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
    """JSON of each value, as strings without nulls, on one line each.

    Floats have the fewest digits that give the same number in their own type; those that are not finite become null, as
    JSON has no such number. Times and decimals become text, as do COCO's run lengths; other binary values base64.
    """
    text = _text(array)
    return pc.fill_null(pc.if_else(pc.is_valid(array), text, pa.scalar(None, text.type)), "null")


def json_object(columns: dict[str, pa.Array]) -> pa.Array:
    """JSON objects with these keys, from columns of equal lengths."""
    pieces: list[Any] = []
    for number, (key, values) in enumerate(columns.items()):
        # Key and value end as one piece each: the join itself has no separator.
        pieces += [f"{',' if number else '{'}{json.dumps(key, ensure_ascii=False)}:", json_text(values)]
    return pc.binary_join_element_wise(*pieces, "}", "")


def lists_of(values: pa.Array, offsets: np.ndarray) -> pa.Array:
    """Lists of consecutive ``values``; ``offsets`` has one more number than there are lists."""
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def offsets_of(lists: pa.Array) -> np.ndarray:
    """Offsets of the lists in ``lists.flatten()``, in which a null is an empty list."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column as one array."""
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def readable_masks(masks: pa.Array) -> pa.Array:
    """Structs of ``size`` and ``counts``, COCO's run lengths, with ``counts`` as text: that code is ASCII alone."""
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
    """Tensors as lists of lists."""
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
        # Only those of a batch that need it: control characters are rare.
        whole = [None if value is None else json.dumps(value, ensure_ascii=False) for value in text.to_pylist()]
        return pa.array(whole, pa.string())
    return pc.binary_join_element_wise('"', text, '"', "")


_ESCAPED = r'["\\\x00-\x1f]'


def _bare(value: Any) -> Any:
    """Rare types, such as binary values and maps, with their contents."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(key): _bare(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bare(item) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
