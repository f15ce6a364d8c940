"""The Arrow columns of segmentation. Made in the predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.tasks.detection.rows import MASK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def mask_field() -> pa.Field:
    """Returns the field for PNG files."""
    return pa.field("mask", pa.binary())


def classes_field(*, has_masks: bool) -> pa.Field:
    """Returns the field of `classes_column`."""
    inner = [pa.field("label_id", pa.int32()), pa.field("label", pa.string()), pa.field("pixels", pa.int64())]
    return pa.field("classes", pa.list_(pa.struct([*inner, MASK] if has_masks else inner)))


def classes_column(
    found: Sequence[Mapping[int, int]], labels: Sequence[str] | None, masks: pa.Array | None = None
) -> pa.ListArray:
    """Converts the classes in each image to one list of structs.

    Args:
        found: for each image, pixels by class.
        labels: class names; without them, the class number is the name.
        masks: of type `MASK`, one per class of each image.
    """
    ids = [class_id for pixels in found for class_id in pixels]
    columns = [
        pa.array(ids, pa.int32()),
        pa.array([labels[class_id] if labels else str(class_id) for class_id in ids], pa.string()),
        pa.array([number for pixels in found for number in pixels.values()], pa.int64()),
        *([] if masks is None else [masks]),
    ]
    field = classes_field(has_masks=masks is not None)
    structs = pa.StructArray.from_arrays(columns, fields=list(field.type.value_type))
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *map(len, found)]), pa.int32()), structs)


def masks_array(counts: Sequence[bytes], sizes_hw: np.ndarray) -> pa.StructArray:
    """Builds masks of type `MASK`.

    Args:
        counts: run lengths of each mask.
        sizes_hw: height and width of each mask, integers (m, 2).
    """
    values = pa.array(np.ascontiguousarray(sizes_hw, np.int32).ravel())
    sizes = pa.ListArray.from_arrays(pa.array(np.arange(0, 2 * len(counts) + 1, 2, dtype=np.int32)), values)
    return pa.StructArray.from_arrays([sizes, pa.array(counts, pa.binary())], fields=list(MASK.type))
