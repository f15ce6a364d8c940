"""Detections of a batch as flat columns, with one value per box, and the categories that occur. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.tasks.detection.rows import CORNERS
from jobs.conversion.json_text import lists_of, offsets_of, plain, readable_masks

if TYPE_CHECKING:
    from collections.abc import Sequence

DETECTIONS = "detections"


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of consecutive images; those of one image are contiguous, best first."""

    offsets: np.ndarray
    """int64 (images + 1): the boxes of image i are ``offsets[i]`` to ``offsets[i + 1]``."""
    label_id: pa.Array
    label: pa.Array
    score: pa.Array
    corners: np.ndarray
    """float64 (boxes, 4): xmin, ymin, xmax, ymax in pixels of the upright image."""
    mask: pa.Array | None
    """Structs of ``size`` and ``counts``, COCO's compressed run-length encoding as text."""

    @classmethod
    def of(cls, rows: pa.Table) -> Boxes:
        """Reads the column `DETECTIONS` of ``rows``; null means an image without boxes."""
        lists = plain(rows[DETECTIONS])
        flat = lists.flatten()
        corners = [pc.cast(pc.struct_field(flat, name), pa.float64()) for name in CORNERS]
        names = [one.name for one in flat.type]
        return cls(
            offsets_of(lists),
            pc.struct_field(flat, "label_id"),
            pc.struct_field(flat, "label"),
            pc.struct_field(flat, "score"),
            np.column_stack([values.to_numpy(zero_copy_only=False) for values in corners]),
            readable_masks(pc.struct_field(flat, "mask")) if "mask" in names else None,
        )

    def __len__(self) -> int:
        return len(self.label_id)

    @property
    def image(self) -> np.ndarray:
        """int64 (boxes): image position of each box."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @property
    def xywh(self) -> np.ndarray:
        """float64 (boxes, 4): left, top, width and height, to a thousandth of a pixel."""
        left_top, right_bottom = self.corners[:, :2], self.corners[:, 2:]
        return np.round(np.hstack([left_top, right_bottom - left_top]), 3)

    def by_image(self, values: pa.Array) -> pa.Array:
        """Groups ``values``, one per box, into one list per image."""
        return lists_of(values, self.offsets)


def over_threshold(lists: pa.Array, threshold: float) -> tuple[pa.Array, int]:
    """Returns the boxes of `DETECTIONS` with a score of at least ``threshold``, and the number of others."""
    flat = lists.flatten()
    is_kept = pc.fill_null(pc.greater_equal(pc.struct_field(flat, "score"), threshold), False)
    ends = np.concatenate([[0], np.cumsum(is_kept.to_numpy(zero_copy_only=False), dtype=np.int64)])
    kept = lists_of(flat.filter(is_kept), ends[offsets_of(lists)])
    return kept.cast(lists.type), len(flat) - int(ends[-1])


def fixed_lists(values: np.ndarray) -> pa.Array:
    """Converts the rows of an array (n, k) to lists of k numbers."""
    num_rows, length = values.shape
    return lists_of(pa.array(values.ravel()), np.arange(num_rows + 1) * length)


@dataclass
class Categories:
    """Labels by id, as found in the rows."""

    labels: dict[int, str] = field(default_factory=dict)

    def add(self, ids: pa.Array, labels: pa.Array) -> None:
        if not len(ids):
            return
        unique = pa.table({"id": ids, "label": labels}).group_by(["id", "label"]).aggregate([])
        for label_id, label in zip(unique["id"].to_pylist(), unique["label"].to_pylist(), strict=True):
            if label_id is not None:
                self.labels.setdefault(label_id, str(label_id) if label is None else label)

    def ordered(self) -> Sequence[tuple[int, str]]:
        return sorted(self.labels.items())
