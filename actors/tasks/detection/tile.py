"""Config node ``task.tile``: cutting large pictures into tiles, to find small objects. Read on driver and workers."""

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
    """Intersection over the smaller box if a tile border cuts one of the two, otherwise over their union."""


@dataclass
class Tile:
    """Config node ``task.tile``: each tile is predicted like an image, and the boxes of all tiles are merged into one
    row. Without `size`, the whole picture is predicted.
    """

    size: Any = None
    """Side of a tile in source pixels, or [height, width]; null disables tiles. The model's resize and crop then apply
    to each tile. A picture that is not larger is a single tile."""

    overlap: float = 0.2
    """Minimum overlap of neighbouring tiles: a fraction of the tile if below 1, otherwise pixels. Objects up to this
    size are entirely visible in at least one tile."""

    merge: TileMerge = TileMerge.ios
    """nms: the better of two overlapping boxes remains. ios: likewise, but boxes cut by a border rank after uncut
    boxes, and overlap any box that covers most of them. Boxes of the same tile are never merged."""

    match: float = 0.5
    """Overlap, from 0 to 1, above which two boxes of different tiles are one object; task.iou applies within a tile."""

    whole: bool = False
    """Also predict the whole picture as one image, for objects larger than the overlap of the tiles."""

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
        """Returns the corners of the tiles of a picture, int64 (n, 4): xmin, ymin, xmax, ymax, row by row; with
        `whole`, the picture itself comes last, unless it is a single tile.

        All tiles lie within the picture and have the same size, limited by that of the picture. They are evenly spaced,
        so that all overlaps are alike, and at least `overlap`.
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
    """Returns the first pixel of each tile along one axis."""
    if length <= side:
        return [0]
    number = math.ceil((length - overlap) / (side - overlap))
    return [round(place * (length - side) / (number - 1)) for place in range(number)]


def _is_pair(size: Any) -> bool:
    return isinstance(size, list | tuple) and len(size) == 2  # noqa: PLR2004  height and width
