"""Greedy non-maximum suppression over all images of a batch at once, equal to torchvision's. Runs in the predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from actors.tasks.detection.candidates import Candidates

MAX_CANDIDATES = 30_000
"""Maximum number of boxes per image that enter suppression, best first, to limit time; like Ultralytics' ``max_nms``.
"""


def ranked(candidates: Candidates, limit: int) -> np.ndarray:
    """Returns the positions of the best ``limit`` boxes of each image, by image, then by descending score; for equal
    scores, the first comes first.
    """
    order = np.lexsort((-candidates.scores, candidates.images))
    ranks = _ranks(candidates.images[order])
    return order[ranks < limit]


def suppress(candidates: Candidates, *, iou: float, max_detections: int, class_agnostic: bool = False) -> np.ndarray:
    """Returns the positions of the remaining boxes, by image, then by descending score.

    A box is dropped if a better remaining box overlaps it by more than ``iou``, as in ``torchvision.ops.batched_nms``:
    bit for bit, since everything is in float32.

    Args:
        candidates: the boxes; beyond the best `MAX_CANDIDATES` per image, they are dropped.
        iou: intersection over union above which two boxes belong to one object.
        max_detections: number of best boxes to keep per image.
        class_agnostic: true if boxes of different classes also suppress each other.
    """
    order = ranked(candidates, MAX_CANDIDATES)
    images, boxes = candidates.images[order], candidates.boxes_xyxy[order]
    groups = None if class_agnostic else candidates.label_ids[order]
    starts = np.flatnonzero(_ranks(images) == 0)
    ends = np.append(starts[1:], len(images))
    parts = [
        _suppressed(boxes, groups, starts[first : first + _IMAGES], ends[first : first + _IMAGES], iou, max_detections)
        for first in range(0, len(starts), _IMAGES)
    ]
    return order[np.concatenate(parts)] if parts else order


_IMAGES = 32  # at a time
_CHUNK = 128  # boxes of each image at a time: bounds the overlap matrix and unnecessary computation


def _suppressed(
    boxes: np.ndarray, groups: np.ndarray | None, starts: np.ndarray, ends: np.ndarray, iou: float, limit: int
) -> np.ndarray:
    """Returns the remaining positions of the boxes from ``starts`` to ``ends``, one pair per image, in ascending order.

    Processes the next boxes of all images together: drops those that overlap boxes already kept, then resolves the rest
    among themselves. Ends early for images with ``limit`` boxes.
    """
    kept = np.full((len(starts), limit), -1)
    num_kept = np.zeros(len(starts), np.int64)
    places = starts.copy()
    while len(active := np.flatnonzero((places < ends) & (num_kept < limit))):
        width = min(_CHUNK, int((ends - places)[active].max()))
        chunk = places[active, None] + np.arange(width)
        chunk[chunk >= ends[active, None]] = -1
        before = kept[active, : num_kept[active].max()]
        free = (chunk >= 0) & ~(_overlap(boxes, groups, before, chunk, iou) & (before >= 0)[:, :, None]).any(axis=1)
        # Usually few boxes are left, and so few pairs.
        front = np.argsort(~free, axis=1, kind="stable")[:, : free.sum(axis=1).max()]
        chunk = np.take_along_axis(chunk, front, axis=1)
        free = np.take_along_axis(free, front, axis=1)
        keeps = free & _greedy(_overlap(boxes, groups, chunk, chunk, iou), free)
        ranks = num_kept[active, None] + keeps.cumsum(axis=1) - 1
        rows, columns = np.nonzero(keeps & (ranks < limit))
        kept[active[rows], ranks[rows, columns]] = chunk[rows, columns]
        num_kept[active] = np.minimum(limit, num_kept[active] + keeps.sum(axis=1))
        places[active] += width
    return kept[kept >= 0]


def _greedy(overlaps: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Returns which of the ``free`` boxes remain, bool (a, c), best first, given which of them overlap, (a, c, c).

    A box remains if no better remaining box overlaps it. Repeating this for all boxes at once settles the best, then
    those that depend only on it, and so on: equivalent to going box by box (Zheng et al., Cluster-NMS, 2020).
    """
    better = overlaps & np.tri(overlaps.shape[1], k=-1, dtype=bool).T & free[:, :, None]
    keeps = free
    while True:
        settled: np.ndarray = free & ~(better & keeps[:, :, None]).any(axis=1)
        if (settled == keeps).all():
            return settled
        keeps = settled


def _overlap(
    boxes: np.ndarray, groups: np.ndarray | None, first: np.ndarray, second: np.ndarray, iou: float
) -> np.ndarray:
    """Returns bool (a, b, c): boxes ``first`` (a, b) and ``second`` (a, c) of the same group overlap too much."""
    one, other = boxes[first].transpose(2, 0, 1)[..., None], boxes[second].transpose(2, 0, 1)[:, :, None, :]
    width = np.minimum(one[2], other[2]) - np.maximum(one[0], other[0])
    height = np.minimum(one[3], other[3]) - np.maximum(one[1], other[1])
    both = np.maximum(width, 0) * np.maximum(height, 0)
    one_area, other_area = ((each[2] - each[0]) * (each[3] - each[1]) for each in (one, other))
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, which does not exceed the limit
        # A float64 limit, as in torchvision: some limits round up in float32.
        overlaps: np.ndarray = both / (one_area + other_area - both) > np.float64(iou)
    return overlaps if groups is None else overlaps & (groups[first][:, :, None] == groups[second][:, None, :])


def _ranks(images: np.ndarray) -> np.ndarray:
    """Returns the position of each box within its image, given the image of each, ascending."""
    return np.arange(len(images)) - np.searchsorted(images, images)
