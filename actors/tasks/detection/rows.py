"""The Arrow columns of detections. Made in the predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.tasks.detection.candidates import Candidates

CORNERS = ("xmin", "ymin", "xmax", "ymax")
MASK = pa.field("mask", pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.binary())]))
"""Mask of a detection: height and width of the picture, and COCO's compressed run lengths."""


def detections_field(*, has_masks: bool = False) -> pa.Field:
    """Returns the field of `detections_column`."""
    inner = [
        pa.field("label_id", pa.int32()),
        pa.field("label", pa.string()),
        pa.field("score", pa.float32()),
        *(pa.field(name, pa.float32()) for name in CORNERS),
    ]
    return pa.field("detections", pa.list_(pa.struct([*inner, MASK] if has_masks else inner)))


def size_fields() -> list[pa.Field]:
    """Returns the fields of `size_columns`."""
    return [pa.field("width", pa.int32()), pa.field("height", pa.int32())]


def size_columns(sizes_hw: np.ndarray) -> list[pa.Array]:
    """Returns width and height of the upright source images, given heights and widths (n, 2)."""
    return [pa.array(sizes_hw[:, axis], pa.int32()) for axis in (1, 0)]


def detections_column(found: Candidates, labels: Sequence[str] | None, masks: pa.Array | None = None) -> pa.ListArray:
    """Converts boxes to one list of structs per image.

    Args:
        found: boxes in pixels of the source images, best first within an image.
        labels: class names; without them, the class number is the name.
        masks: of type `MASK`, one per box.
    """
    ids = pa.array(found.label_ids)
    names = ids.cast(pa.string()) if labels is None else pa.array(labels, pa.string()).take(ids)
    corners = [pa.array(found.boxes_xyxy[:, axis].astype(np.float32)) for axis in range(4)]
    field = detections_field(has_masks=masks is not None)
    columns = [ids, names, pa.array(found.scores), *corners, *([] if masks is None else [masks])]
    structs = pa.StructArray.from_arrays(columns, fields=list(field.type.value_type))
    ends = np.searchsorted(found.images, np.arange(len(found.valid) + 1))
    return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), structs)
