"""Boxes that a network proposes for a batch of images, in one form for all kinds of networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Candidates:
    """Boxes of n images, grouped by image in order.

    Coordinates are in pixels of the model's input: x before y, pixel i covers i to i + 1.
    """

    images: np.ndarray
    """The image of each box, int64 (m,), ascending, below n."""
    boxes_xyxy: np.ndarray
    """Corners, float32 (m, 4); all finite."""
    scores: np.ndarray
    """float32 (m,), each from 0 to 1."""
    label_ids: np.ndarray
    """Classes from 0, int32 (m,)."""
    places: np.ndarray
    """Position of each box among those that the network returns for its image, int64 (m,); used to find its mask."""
    valid: np.ndarray
    """False for images whose outputs are not finite, bool (n,)."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: np.ndarray) -> Candidates:
        """Returns the boxes selected by ``chosen``, positions or bools."""
        return Candidates(
            self.images[chosen],
            self.boxes_xyxy[chosen],
            self.scores[chosen],
            self.label_ids[chosen],
            self.places[chosen],
            self.valid,
        )
