"""Arithmetic of resize and crop along one axis. Runs in workers, once per image and axis."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Axis:
    """Resize, crop and padding of one axis: ``source`` pixels become ``length``, of which start:stop are kept, after
    ``padding`` border pixels.

    Only first:last of the source are needed. The last source pixel may be a fraction.
    """

    source: float
    length: int
    start: int
    stop: int
    first: int
    last: int
    padding: int

    @classmethod
    def plan(
        cls,
        source: float,
        length: int,
        wanted: int,
        *,
        reach: int = 2,
        is_floored: bool = False,
        at_start: bool = False,
    ) -> Axis:
        """Plans the axis.

        Args:
            source: pixels before the resize.
            length: pixels after it.
            wanted: pixels after crop and padding.
            reach: reach of the interpolation, in pixels of the coarser grid.
            is_floored: round the start of a crop down, like transformers, instead of to the nearest, like torchvision.
            at_start: put the whole padding after the image.
        """
        offset = (length - wanted) / 2
        start = max(0, math.floor(offset) if is_floored else round(offset))
        stop = min(length, start + wanted)
        # An odd pixel goes after the image.
        padding = 0 if at_start else (wanted - (stop - start)) // 2
        if source == length:
            return cls(source, length, start, stop, start, stop, padding)
        scale = source / length
        margin = math.ceil(reach * max(scale, 1)) + 1
        first, last = int(start * scale) - margin, math.ceil(stop * scale) + margin
        return cls(source, length, start, stop, max(0, first), min(math.ceil(source), last), padding)

    @property
    def is_strip(self) -> bool:
        """True if resizing the whole axis would compute far more than is kept."""
        return self.length != self.source and self.length > _MAX_WASTE * (self.stop - self.start)

    @property
    def whole(self) -> Axis:
        """The same resize without the crop."""
        return replace(self, start=0, stop=self.length, first=0, last=math.ceil(self.source), padding=0)

    @property
    def scale(self) -> float:
        """Pixels of the source per pixel of the result."""
        return self.source / self.length

    @property
    def box(self) -> tuple[float, float]:
        """The kept part in source pixels, counted from ``first``."""
        return self.start * self.scale - self.first, min(self.stop * self.scale, self.last) - self.first

    @property
    def shown(self) -> slice:
        """The pixels of the result that show the image; the rest is border."""
        return slice(self.padding, self.padding + self.stop - self.start)


_MAX_WASTE = 8  # resized pixels per kept pixel
