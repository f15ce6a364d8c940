"""Merges the boxes of overlapping tiles: keeps one box of an object that several tiles show. Runs in the predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actors.tasks.detection.tile import TileMerge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.tasks.detection.tile import Tile


@dataclass(frozen=True)
class TileBoxes:
    """Boxes found in the tiles of one picture, in pixels of the picture."""

    boxes_xyxy: np.ndarray
    """Corners, float32 (m, 4)."""
    scores: np.ndarray
    """float32 (m,)."""
    label_ids: np.ndarray
    """int32 (m,)."""
    tiles: np.ndarray
    """The tile of each box, int64 (m,)."""

    def take(self, chosen: np.ndarray) -> TileBoxes:
        """Returns the boxes at the positions ``chosen``."""
        return TileBoxes(self.boxes_xyxy[chosen], self.scores[chosen], self.label_ids[chosen], self.tiles[chosen])

    @classmethod
    def joined(cls, parts: list[TileBoxes]) -> TileBoxes:
        """Concatenates the boxes of ``parts``, at least one."""
        names = ("boxes_xyxy", "scores", "label_ids", "tiles")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def merged(found: TileBoxes, places: np.ndarray, tile: Tile, *, class_agnostic: bool = False) -> TileBoxes:
    """Returns one box per object, best score first.

    Processes boxes best score first; with ``ios``, boxes not cut by a tile border come before the others. Drops a box
    if a remaining box of the same class from another tile overlaps it by more than ``tile.match``. So a view of a whole
    object beats a view of a part, whatever their scores.

    Args:
        found: the boxes of one picture.
        places: the part of it that each tile shows, int64 (n, 4).
        tile: the settings.
        class_agnostic: true if boxes of different classes are also merged.
    """
    by_smaller = tile.merge is TileMerge.ios
    cut = _cut(found, places) if by_smaller else np.zeros(len(found.scores), bool)
    ranked = np.lexsort((-found.scores, cut))
    ordered, cut = found.take(ranked), cut[ranked]
    labels = np.zeros_like(ordered.label_ids) if class_agnostic else ordered.label_ids
    parts = [
        pairs[:, _overlaps(ordered, pairs, cut) > tile.match]
        for pairs in _near_pairs(ordered.boxes_xyxy, labels, ordered.tiles)
    ]
    kept = ordered.take(_greedy(len(ranked), np.concatenate([np.zeros((2, 0), np.int64), *parts], axis=1)))
    return kept.take(np.argsort(-kept.scores, kind="stable"))


# Distance from a tile's border, as a fraction of the tile, within which a box counts as cut: boxes of parts end a few
# pixels before it. Another tile shows a whole object there better.
_BORDER = 0.04


def _cut(found: TileBoxes, places: np.ndarray) -> np.ndarray:
    """Returns True for boxes that reach a border of their tile inside the picture, bool (m,)."""
    picture = places[:, 2:].max(axis=0)
    own = places[found.tiles]
    margin = _BORDER * (own[:, 2:] - own[:, :2])
    at_start = (found.boxes_xyxy[:, :2] < own[:, :2] + margin) & (own[:, :2] > 0)
    at_end = (found.boxes_xyxy[:, 2:] > own[:, 2:] - margin) & (own[:, 2:] < picture)
    return np.asarray((at_start | at_end).any(axis=1))


def _near_pairs(boxes: np.ndarray, labels: np.ndarray, tiles: np.ndarray) -> Iterator[np.ndarray]:
    """Yields touching pairs of boxes of different tiles and the same label, int64 (2, p): the earlier and the later
    box.

    Sweeps downwards, so a box is compared only with boxes that begin before it ends, in rectangles of bounded size.
    """
    down = np.argsort(boxes[:, 1], kind="stable")
    tops, bottoms = boxes[down, 1], boxes[down, 3]
    for first in range(0, len(down), _ROWS):
        rows = down[first : first + _ROWS]
        stop = int(np.searchsorted(tops, bottoms[first : first + _ROWS].max(), side="left"))
        for start in range(first, stop, _COLUMNS):
            columns = down[start : min(start + _COLUMNS, stop)]
            one, other = boxes[rows, None], boxes[None, columns]
            meet = (one[..., 0] < other[..., 2]) & (other[..., 0] < one[..., 2])
            meet &= (one[..., 1] < other[..., 3]) & (other[..., 1] < one[..., 3])
            meet &= (labels[rows, None] == labels[columns]) & (tiles[rows, None] != tiles[columns])
            # Within the square on the diagonal, each pair occurs twice.
            meet &= (start >= first + _ROWS) | (np.arange(len(columns)) + start > np.arange(len(rows))[:, None] + first)
            pair = np.stack([rows[meet.nonzero()[0]], columns[meet.nonzero()[1]]])
            yield np.sort(pair, axis=0)


_ROWS, _COLUMNS = 256, 4096  # a million pairs at a time, 1 MB for each condition


def _overlaps(found: TileBoxes, pairs: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Returns the intersection of each pair over the smaller box if one of the two is cut, else over their union."""
    one, other = found.boxes_xyxy[pairs[0]].astype(np.float64), found.boxes_xyxy[pairs[1]].astype(np.float64)
    both = (np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])).clip(0).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    whole = np.where(cut[pairs].any(axis=0), np.minimum(*areas), sum(areas) - both)
    shares: np.ndarray = np.zeros_like(both)  # in float32, a thin box may lose its area
    np.divide(both, whole, out=shares, where=whole > 0)
    return shares


def _greedy(number: int, pairs: np.ndarray) -> np.ndarray:
    """Returns the positions of the remaining boxes, given which earlier box overlaps which later one.

    Repeating the rule for all boxes at once settles the first, then those that depend only on it, and so on: equivalent
    to going box by box.
    """
    remains = np.ones(number, bool)
    while True:
        settled = np.ones(number, bool)
        settled[pairs[1, remains[pairs[0]]]] = False
        if (settled == remains).all():
            return np.flatnonzero(settled)
        remains = settled
