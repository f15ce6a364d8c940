"""Positions of source pixels in the grid of answers that a network returns for an image. Runs in the predictor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from actors.geometry import Geometry


@dataclass(frozen=True)
class GridAxis:
    """One axis: source pixels ``first`` to ``stop`` lie in the model's input; the others were cropped away.

    Arrays have one entry for each of these pixels, ascending. Cells of the grid that show padding are never used.
    """

    source: int
    """Number of pixels of the whole source."""
    first: int
    stop: int
    lower: np.ndarray
    """The cell whose centre is before the pixel's centre, intp."""
    weight: np.ndarray
    """Weight of the next cell in linear interpolation, float32 from 0 to 1; 0 at the edge."""
    nearest: np.ndarray
    """The cell that contains the pixel's centre, intp."""

    @classmethod
    def plan(cls, source: int, scale: float, offset: float, *, shown: slice, cells: float) -> GridAxis:
        """Plans an axis.

        Args:
            source: pixels of the source.
            scale: source pixels per pixel of the model's input.
            offset: position of the input's first pixel in the source.
            shown: pixels of the input that show the image.
            cells: cells of the grid per pixel of the input.
        """
        first = max(0, math.ceil(shown.start * scale + offset - 0.5))
        stop = min(source, math.floor(shown.stop * scale + offset - 0.5) + 1)
        # Cells entirely in the picture, unless padding leaves none.
        least, most = math.ceil(shown.start * cells), math.floor(shown.stop * cells) - 1
        if most < least:
            least = most = min(int((shown.start + shown.stop) / 2 * cells), max(least, most))
        # In float32, in the computation order of torch.nn.functional.interpolate, so near ties are resolved alike.
        pixels = np.arange(first, max(first, stop), dtype=np.float32)
        slope, shift = np.float32(cells / scale), np.float32(-offset / scale * cells)
        centres = slope * (pixels + np.float32(0.5)) + shift
        places = np.clip(centres - np.float32(0.5), least, most)
        lower = places.astype(np.intp)
        return cls(
            source,
            first,
            max(first, stop),
            lower,
            (places - lower).astype(np.float32),
            np.clip(centres.astype(np.intp), least, most),
        )


def grid_axes(geometry: Geometry, image: int, input_hw: tuple[int, int], grid_hw: tuple[int, int]) -> list[GridAxis]:
    """Returns the rows and the columns of ``image`` in a grid of ``grid_hw`` cells over the model's whole input."""
    corners = geometry.visible_xyxy[image].tolist()
    return [
        GridAxis.plan(
            int(geometry.sizes_wh[image, axis]),
            float(geometry.scale[image, axis]),
            float(geometry.offset[image, axis]),
            shown=slice(corners[axis], corners[axis + 2]),
            cells=cells / pixels,
        )
        for axis, pixels, cells in zip((1, 0), input_hw, grid_hw, strict=True)
    ]
