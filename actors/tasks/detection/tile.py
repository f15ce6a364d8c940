"""Config node ``task.tile``: how a picture is cut into tiles, for objects that are small in a large picture. Read on
driver and workers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from actors.errors import JobError
from actors.field_types import coerce_fields


class TileMerge(Enum):
    """Measure by which two boxes of different tiles count as one object."""

    nms = "nms"
    """Intersection over union."""
    ios = "ios"
    """Intersection over the smaller box where a border of a tile cuts one of the two, else over their union."""


@dataclass
class Tile:
    """Config node ``task.tile``: tiles that are predicted each like an image, and whose boxes are merged into one row.
    Without `size`, a picture is predicted as a whole.
    """

    size: Any = None
    """Side of a tile in pixels of the source, or [height, width]; null cuts no tiles. The model's resize and crop then
    apply to each tile. A picture that is not larger is one tile."""

    overlap: float = 0.2
    """Least overlap of neighbouring tiles: a share of the tile below 1, or pixels from 1 on. Objects up to this size
    are seen whole by at least one tile."""

    merge: TileMerge = TileMerge.ios
    """nms: the better of two boxes that overlap remains. ios: so it does, but a box that a border cuts comes after
    those that none cuts, and overlaps what covers most of it. Boxes of the same tile are never merged."""

    match: float = 0.5
    """Overlap, from 0 to 1, above which two boxes of different tiles are one object; task.iou holds within a tile."""

    whole: bool = False
    """Predict also the whole picture as one image, for objects that are larger than the overlap of the tiles."""

    def __post_init__(self) -> None:
        coerce_fields(self, "task.tile")

    @property
    def is_on(self) -> bool:
        return self.size is not None

    def check(self) -> None:
        """Raises `JobError` for the first invalid value."""
        sides = self.size if _is_pair(self.size) else [self.size]
        if self.is_on and not all(isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in sides):
            fix = "give pixels, as in task.tile.size=640 or task.tile.size=[480,640]"
            raise JobError(f"task.tile.size={self.size}: not a side, or [height, width], of at least 1", fix=fix)
        if self.overlap < 0 or (self.is_on and self.overlap >= min(sides)):
            raise JobError(
                f"task.tile.overlap={self.overlap:g}: not below the side of a tile",
                fix="give a share, as in 0.2, or pixels, as in 100",
            )
        if not 0 <= self.match <= 1:
            raise JobError(f"task.tile.match={self.match:g}: not from 0 to 1", fix="the usual value is 0.5")

    @property
    def side_hw(self) -> tuple[int, int]:
        """Height and width of a tile."""
        return (self.size[0], self.size[1]) if _is_pair(self.size) else (self.size, self.size)

    def places(self, height: int, width: int) -> np.ndarray:
        """Corners of the tiles of a picture, int64 (n, 4): xmin, ymin, xmax, ymax, row by row; with `whole` the picture
        itself comes last, unless it is one tile.

        All tiles lie within the picture and have the same size, that of the picture where it is smaller. They are
        spread evenly, so that all overlap alike, by at least `overlap`.
        """
        (tile_height, tile_width), (ys, xs) = self.side_hw, self._starts(height, width)
        tile_height, tile_width = min(tile_height, height), min(tile_width, width)
        tiles = [(x, y, x + tile_width, y + tile_height) for y in ys for x in xs]
        if self.whole and len(tiles) > 1:
            tiles.append((0, 0, width, height))
        return np.array(tiles, np.int64)

    def _starts(self, height: int, width: int) -> list[list[int]]:
        return [
            _starts(length, side, self.overlap * side if self.overlap < 1 else self.overlap)
            for length, side in zip((height, width), self.side_hw, strict=True)
        ]


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """First pixels of the tiles along one axis."""
    if length <= side:
        return [0]
    number = math.ceil((length - overlap) / (side - overlap))
    return [round(place * (length - side) / (number - 1)) for place in range(number)]


def _is_pair(size: Any) -> bool:
    return isinstance(size, list | tuple) and len(size) == 2  # noqa: PLR2004  height and width
