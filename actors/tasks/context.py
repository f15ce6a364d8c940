"""Labels and source images of a batch, which a task receives with the model's outputs. Built in the predictor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from actors.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.preprocess import Preprocess


@dataclass(frozen=True)
class BatchContext:
    """The labels of the model, and the source images of a batch.

    Args:
        labels: one per class, in order; None if the model has none.
        preprocess: the resize and crop that made the model's input.
        sizes_hw: height and width of each source image, upright and at full size, int32 (n, 2).
    """

    labels: Sequence[str] | None
    preprocess: Preprocess
    sizes_hw: np.ndarray

    @classmethod
    def of_inputs(cls, labels: Sequence[str] | None, preprocess: Preprocess, num_images: int) -> BatchContext:
        """Returns the context of images that already have the model's input size, such as trial images."""
        return cls(labels, preprocess, np.tile(np.array(preprocess.size, np.int32), (num_images, 1)))

    @cached_property
    def geometry(self) -> Geometry:
        """Maps boxes and masks back to the source images. Computed on first use: most tasks never need it."""
        return Geometry.of(self.preprocess, self.sizes_hw.tolist())
