"""Maps boxes and masks from pixels of the model's input back to the source images. Runs in the predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.preprocess import Axis, Preprocess


@dataclass(frozen=True)
class Geometry:
    """The resize and crop that `actors.preprocess.fit` applies to n images.

    Coordinates are continuous, x before y: pixel i covers i to i + 1, and the top left corner of an image is (0, 0).
    Source images are upright, with their EXIF orientation applied, and at full size, whatever size they were decoded
    to.
    """

    sizes_wh: np.ndarray
    """Width and height of each source image, int64 (n, 2)."""
    scale: np.ndarray
    """Source pixels per pixel of the model's input, in x and y, float64 (n, 2)."""
    offset: np.ndarray
    """Position of the top left corner of the model's input in the source, in x and y, float64 (n, 2)."""
    visible_xyxy: np.ndarray
    """The part of the model's input that shows the image, int64 (n, 4); the rest is padding."""

    @classmethod
    def of(cls, preprocess: Preprocess, sizes_hw: Iterable[tuple[int, int]]) -> Geometry:
        """Returns the geometry of images whose upright height and width are ``sizes_hw``."""
        rows = [_image(preprocess, height, width) for height, width in sizes_hw]
        table = np.array(rows, np.float64).reshape(len(rows), 10)
        return cls(table[:, :2].astype(np.int64), table[:, 2:4], table[:, 4:6], table[:, 6:].astype(np.int64))

    def to_source(self, boxes_xyxy: np.ndarray, images: np.ndarray | None = None) -> np.ndarray:
        """Maps boxes to pixels of the source images, and clips them to the images.

        Args:
            boxes_xyxy: corners in pixels of the model's input: (n, ..., 4), or (m, 4) together with ``images``.
            images: the image that each of the m boxes belongs to, integers (m,) below n.

        Returns:
            Corners in the shape of ``boxes_xyxy``, float64. NaN stays NaN.
        """
        boxes = np.asarray(boxes_xyxy, np.float64)
        rows = np.arange(len(self.sizes_wh)) if images is None else np.asarray(images)
        shape = (len(rows), *[1] * (boxes.ndim - 2), 4)
        scale, offset, limit = (
            np.tile(pairs[rows], 2).reshape(shape) for pairs in (self.scale, self.offset, self.sizes_wh)
        )
        # Boxes in the padding are clipped too: they end up empty, at an edge of the image.
        return np.asarray(np.clip(boxes * scale + offset, 0, limit))

    @property
    def shown(self) -> np.ndarray:
        """Returns the part of each source image that the model sees, in source pixels, float64 (n, 4)."""
        return self.to_source(self.visible_xyxy[:, None])[:, 0]


def _image(preprocess: Preprocess, height: int, width: int) -> list[float]:
    """Returns size, scale, offset and visible part of one image, each as x and y."""
    y, x = map(_line, preprocess.axes(height, width))
    return [number for pair in zip(x, y, strict=True) for number in pair]


def _line(axis: Axis) -> tuple[float, float, float, float, float]:
    """Returns size, scale, offset, and start and stop of the visible part along one axis."""
    offset = (axis.start - axis.padding) * axis.scale
    return axis.source, axis.scale, offset, axis.shown.start, axis.shown.stop
